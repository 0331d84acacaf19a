"""What `bump.json` has: what moved, which trials were run, who is to blame for each break, and what passes instead.

Every claim in it names its evidence: a trial, a cell of it, and that record's file. `harness.bump.bumpfile` reads and
writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from pydantic import ConfigDict

from harness.bump.moves import Mix, Move

SCHEMA_VERSION = 1

_STRICT = ConfigDict(extra="forbid")


class Answer(Enum):
    """What a trial says of a cell that got worse; it need not have worked in the base."""

    WORKS = "works"
    AS_BEFORE = "as-in-the-base"
    BREAKS = "breaks"
    OTHERWISE = "breaks-otherwise"
    UNRESOLVABLE = "unresolvable"
    UNTRIED = "untried"

    @property
    def words(self) -> str:
        """The answer as it reads in a sentence."""
        return _WORDS[self]

    @property
    def no_worse(self) -> bool:
        """Whether the cell works, or fails no worse than it did in the base."""
        return self in (Answer.WORKS, Answer.AS_BEFORE)


_WORDS = {
    Answer.WORKS: "works",
    Answer.AS_BEFORE: "is as in the base",
    Answer.BREAKS: "breaks the same way",
    Answer.OTHERWISE: "fails in another way",
    Answer.UNRESOLVABLE: "has no solution",
    Answer.UNTRIED: "was not tried",
}


class Status(Enum):
    """How far blame came for one cause."""

    FOUND = "found"
    NARROWED = "narrowed"
    NOT_REPRODUCED = "not-reproduced"
    NOT_LOOKED_INTO = "not-looked-into"


class SideName(Enum):
    """Which side of the artifact a break follows."""

    EXPORTER = "exporter"
    RUNTIME = "runtime"
    EITHER = "either"
    TOGETHER = "together"
    FRAMEWORK = "framework"
    UNTOLD = "untold"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that moved, None on the side that does not have it; `direct` where the requirements name it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    before: str | None
    after: str | None
    direct: bool

    @classmethod
    def of(cls, move: Move) -> Package:
        """The package that `move` is of."""
        return cls(name=move.name, before=move.before, after=move.after, direct=move.direct)

    def __str__(self) -> str:
        """`torch 2.0.1 -> 2.1.0`, as comparisons write it."""
        return f"{self.name} {self.before or 'absent'} -> {self.after or 'absent'}"


@dataclass(frozen=True, kw_only=True)
class MixTaken:
    """A mix: what differs from the base, as `harness.bump.moves.Mix` has it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    pins: Mapping[str, str]
    bounds: Mapping[str, str]
    without: tuple[str, ...]

    @classmethod
    def of(cls, mix: Mix) -> MixTaken:
        """The values of `mix`."""
        return cls(pins=dict(mix.pins), bounds=dict(mix.bounds), without=tuple(sorted(mix.without)))

    def __str__(self) -> str:
        """As the mix itself reads."""
        return str(Mix(pins=self.pins, bounds=self.bounds, without=frozenset(self.without)))


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One cell of a trial. `file` is its record's, relative to the repository's root."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    model: str
    strategy: str
    outcome: str
    stage: str
    fingerprint: str | None
    file: str


@dataclass(frozen=True, kw_only=True)
class TrialEntry:
    """One trial: its mix, the versions that the resolver chose for what moved, and what its cells came to.

    `packages` are those of the mix and those whose version is not the base's; None where the trial does not have one
    that the base has. `converted` is the mix whose artifacts it served, None where it converted by itself.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    id: str
    mix: MixTaken
    converted: MixTaken | None
    packages: Mapping[str, str | None]
    records: tuple[TrialRecord, ...]
    reason: str
    seconds: float
    installed: bool
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a claim rests on: one cell in one trial, what it said, and the record's file.

    `trial` and `file` are empty where the mix has no solution, so that nothing could be run; `reason` says why then.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    mix: MixTaken
    cell: str
    answer: Answer
    trial: str = ""
    file: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Culprits:
    """The smallest set of moved packages that is enough for the break.

    `along` moved with them in each trial, since the resolver takes them no other way; `left_out` are those of them
    that were left out of both sides, which shows that they have no part in it. `tied` are those of `packages` that the
    resolver does not leave at the base's version while the others move. `enough` is the trial in which they alone
    moved, `smaller` those of fewer moves, `controls` those of the base in the same form.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    packages: tuple[Package, ...]
    along: tuple[Package, ...] = ()
    left_out: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()
    enough: tuple[Evidence, ...] = ()
    smaller: tuple[Evidence, ...] = ()
    controls: tuple[Evidence, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Released:
    """One released version of a package as it was tried, in the whole set that the resolver made of it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    version: str
    packages: Mapping[str, str]
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class Versions:
    """Which released versions of a guilty package break, each one that is named having been run.

    `last_working` and `first_broken` are neighbours among the versions that could be tried; `between` are those that
    lie between them and could not; both are None where the first of them, beside the other culprits, fails otherwise.
    `works_again` is the first later one that works, and `still_broken` the last one before it, or the newest that was
    tried; None where no later one is released. What is as in the base counts as what works. `untried` are later ones
    that were not run though they might tell more.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    package: str
    last_working: Released | None
    first_broken: Released | None
    between: tuple[Evidence, ...] = ()
    works_again: Released | None = None
    still_broken: Released | None = None
    tried: tuple[Evidence, ...] = ()
    untried: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class SideFound:
    """Whether the break follows the artifact (the exporter) or what serves it (the runtime), and how that is known.

    `runtime` and `exporter` are the packages of each side, name to versions in base and candidate. `crossed` are the
    trials in which one side's runtime served the other side's artifact; empty where nothing was to be crossed.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    side: SideName
    reason: str
    runtime: tuple[Package, ...] = ()
    exporter: tuple[Package, ...] = ()
    crossed: tuple[Evidence, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Blame:
    """Who is to blame for one cause. `cell` stands for all its `cells`.

    `known_as` is what the rules know it as, with the upstream issue; empty where none does.
    `category` is what the comparison calls them. `controls` are the base's own trial and the candidate's. `others` is
    what further cells of the cause said in trials that decided; `limits` says what could not be told, and why.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cell: str
    cells: tuple[str, ...]
    category: str
    outcome: str
    stage: str
    fingerprint: str | None
    status: Status
    known_as: str = ""
    controls: tuple[Evidence, ...] = ()
    culprits: Culprits | None = None
    versions: tuple[Versions, ...] = ()
    side: SideFound | None = None
    others: tuple[Evidence, ...] = ()
    limits: tuple[str, ...] = ()


class WayKind(Enum):
    """What is to be done in the place of merging as it is."""

    VERSIONS = "versions"
    STRATEGY = "strategy"
    HOLD_BACK = "hold-back"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A cell that was run, in a trial or in a table: what came of it, and its record's file.

    `trial` is empty where it is a table's. Figures are of the record: error against the native output, milliseconds,
    MiB; None where they were not measured.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cell: str
    outcome: str
    relative_error: float | None
    latency_ms: float | None
    rss_peak_mb: float | None
    file: str
    trial: str = ""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One thing that passes in the place of what broke.

    `pins` are the versions of what the requirements name and what moved: those of the trial, or of the candidate for
    another strategy. `seen` is what passed, `was` the broken cell of that model as it was in the base.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    kind: WayKind
    pins: Mapping[str, str]
    seen: tuple[Seen, ...]
    was: Seen | None = None


@dataclass(frozen=True, kw_only=True)
class WayOut:
    """What was run and passes in the place of one cause, the nearest to what was asked for first.

    `cell` is the one that stands for the cause, as in its `Blame`; `failed` is what was tried and does not pass.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cell: str
    ways: tuple[Way, ...] = ()
    failed: tuple[Seen, ...] = ()
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Bump:
    """All of `bump.json`. `base` and `candidate` are the names of the two sides."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    schema_version: int = SCHEMA_VERSION
    base: str
    candidate: str
    moves: tuple[Package, ...]
    trials: tuple[TrialEntry, ...] = ()
    blames: tuple[Blame, ...] = ()
    ways_out: tuple[WayOut, ...] = ()
