"""The classes that the JSON of a verdict is made of, and its schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from harness.bump.schema import Blame, Package, TrialEntry, WayOut
from harness.duel.deciding import Decision as LatencyDecision

SCHEMA_VERSION = 1

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True)
class SideTold:
    """One side: the name of its combination, the folder of its table, and what it pins."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    combination: str
    table: str
    pins: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class RecordTold:
    """What became of a cell on one side; `record` is the file that has all of it, empty where there is none."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    outcome: str
    stage: str
    error: str | None
    fingerprint: str | None
    record: str


@dataclass(frozen=True, kw_only=True)
class CellTold:
    """A cell that did not pass on both sides; a side is null where it has no record."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cell: str
    category: str
    base: RecordTold | None
    candidate: RecordTold | None
    by_policy: str


@dataclass(frozen=True, kw_only=True)
class JudgedTold:
    """What the policy makes of a number of a cell: its `limit` as a share of the base, null without one.

    An `open` cell has a limit that it was not decided on.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cell: str
    limit: float | None
    fails: bool
    open: bool


@dataclass(frozen=True, kw_only=True)
class LatencyCellTold(JudgedTold):
    """What a duel said of a cell. Shares are of the base's time, 0.1 being 10 % slower.

    `effect` is null without a pair; `lower` and `upper` bound it, and are null before there is an interval. The p value
    and the q values, which are adjusted for the number of cells, are sequential.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    decision: LatencyDecision
    effect: float | None
    lower: float | None
    upper: float | None
    pairs: int
    slower_than: float
    equal_within: float
    q_slower: float
    q_faster: float
    p_equal: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class UntimedTold(JudgedTold):
    """A cell that the duel did not time, and why."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    reason: str


@dataclass(frozen=True, kw_only=True)
class LatencyTold:
    """What a duel told. `unmeasured` are the cells whose own threshold on its machine is not known.

    `none` says why there was none after all, and is empty where there was one; `pairs` of processes took `seconds`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cells: tuple[LatencyCellTold, ...]
    unmeasured: tuple[str, ...]
    untimed: tuple[UntimedTold, ...]
    none: str
    machine: str
    pairs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class MemoryCellTold(JudgedTold):
    """The memory of a cell that moved, fails or is open, in MiB; shares are of the base's, 0.1 being 10 % more.

    `common_mb` is what it moved by with others, `own_mb` what it moved by beyond that, by phase. `found` is the share
    that was found, `told_from` the least that its launches tell.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    runtime: str
    base_mb: float
    candidate_mb: float
    launches: int
    common_mb: float
    own_mb: Mapping[str, float]
    found: float
    told_from: float


@dataclass(frozen=True, kw_only=True)
class CommonTold:
    """What the memory of `cells` moved by together, of so many of a runtime or of a strategy under it, in MiB."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    runtime: str
    strategy: str
    cells: tuple[str, ...]
    of: int
    import_mb: float
    beyond_mb: float


@dataclass(frozen=True, kw_only=True)
class LeftOutTold:
    """Why the memory of so many cells was not compared."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    reason: str
    cells: int


@dataclass(frozen=True, kw_only=True)
class MemoryTold:
    """What the tables tell of memory. `none` says why nothing could be compared, and is empty where it could."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    compared: int
    none: str
    cells: tuple[MemoryCellTold, ...]
    common: tuple[CommonTold, ...]
    left_out: tuple[LeftOutTold, ...]


@dataclass(frozen=True, kw_only=True)
class VerdictTold:
    """All of it. `decision` is null where nobody asked for a verdict.

    `moves` to `ways_out` are there where it was looked for who is to blame, as in `bump.json`. `latency` is what a duel
    told, null where there was none; `memory` what the tables tell of cells that pass.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    schema_version: int
    decision: str | None
    exit_code: int
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    base: SideTold
    candidate: SideTold
    latency: LatencyTold | None
    memory: MemoryTold | None
    cells: tuple[CellTold, ...]
    moves: tuple[Package, ...] = ()
    trials: tuple[TrialEntry, ...] = ()
    blames: tuple[Blame, ...] = ()
    ways_out: tuple[WayOut, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ObstacleTold:
    """A smallest set of what the base asks for that stands in the way, name to what it says of the version.

    `constraints` are those of them that only bound it; `instead` are the versions that the resolver takes without them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    pins: Mapping[str, str]
    constraints: tuple[str, ...]
    instead: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class NoSolutionTold:
    """A candidate without a solution: the name of the base, what was to move, and the resolver's reason."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    schema_version: int
    decision: str
    exit_code: int
    base: str
    moves: tuple[str, ...]
    reason: str
    stands_in_the_way: tuple[ObstacleTold, ...]
