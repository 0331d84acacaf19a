"""Units: cells of one environment that one bench runs, and the seam between them and who has them run.

A bench imports what its cells need once, and builds each of its models once. So a unit is of cells that share what they
import, and a model's cells of that kind are in one unit.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.bench.errors import EnvironmentChangedError
from harness.bench.plan import Cell, Plan, imports_of
from harness.bench.registry import Registry
from harness.matrix.wholeness import Change
from harness.tables.ingredients import Surroundings

START_S = 4.0
"""About what a unit takes before its first cell: a bench, and the imports that its cells share."""

CELL_S = 2.0
"""About what a cell takes of which nobody knows."""

_LEAST_S = 10.0
_UNITS_PER_JOB = 4
"""With as many units for each job, the last of them leave little time in which not all jobs are at work."""

_SHORTER = 4
"""So many times shorter are the units that import least and cost least to begin: with them last, jobs end together."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Cells that one bench runs: `plan` is of these alone, and times none. `folder` is that of the unit's attempt.

    The attempt has begun, and nobody else writes to it. `seconds` is how long it may be expected to take.
    """

    name: str
    plan: Plan
    folder: Path
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the units of one environment have in common.

    `name` and `python` are those of the environment that is ready on this machine, `lock` the text that it was
    installed from (empty for an ambient one). With `fresh`, each cell gets a fresh process. In `shared` benches on this
    machine find what another of them has built.
    """

    root: Path
    name: str
    python: Path
    python_version: str
    lock: str
    fresh: bool = False
    shared: Path | None = None


class ChangedThereError(EnvironmentChangedError):
    """The environment changed on the machine that a bench was alone on, of which nothing is in the attempt.

    `spans` are when each cell was at work there, by model and strategy, on the clock that tells when files changed.
    """

    def __init__(
        self,
        message: str,
        changes: Sequence[Change] = (),
        spans: Mapping[tuple[str, str], Sequence[tuple[float, float]]] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.changes = tuple(changes)
        self.spans = dict(spans or {})


class Executor(Protocol):
    """Has the benches of units run, as many side by side as `jobs`."""

    @property
    def jobs(self) -> int:
        """How many units are run side by side."""

    @property
    def conditions(self) -> Mapping[str, Any]:
        """What the record of a run says of its machine in the place of this one's: `machine`, `gpu` and so on."""

    def surroundings(self, unit: Unit, work: Work, here: Surroundings) -> Sequence[Surroundings]:
        """Those that cells of the attempt of which `unit` is may run in: of this machine, which are `here`, and others.

        The attempt has begun. What cannot be told of a machine is told to be so, and that machine left out.
        """

    def run(self, units: Sequence[Unit], work: Work, look: Callable[[], bool]) -> None:
        """Have the bench of each unit run once, in their order, and return when each has ended, however it ended.

        What a bench writes appears in the folder of its unit as it comes, events last. `look` is called several times
        a second, in the caller's thread; once it says False, no further unit is begun. Whatever is raised meanwhile,
        by `look` too, ends all that was started before it is passed on.
        """

    def alone(self, unit: Unit, work: Work, look: Callable[[], None], *, only_waiting: bool = False) -> int:
        """Have one bench run with nothing beside it, in the attempt of which `unit` is, and return its exit code.

        It times what waits there, and runs what has no record, unless it is to have `only_waiting`. Events appear as
        they come, records no later than the bench has ended, and `look` is called as by `run`. Raises
        `ChangedThereError` where the bench ran on another machine, on which its environment changed.
        """


def divide(
    cells: Sequence[Cell],
    imports: Mapping[str, tuple[str, ...]],
    *,
    jobs: int,
    seconds: Callable[[Cell], float] = lambda _: CELL_S,
) -> list[tuple[Cell, ...]]:
    """The cells of each unit, the longest first; none where one bench would be done as soon.

    `imports` are what each strategy's cells import, by its spelling, and `seconds` is how long a cell may take.
    """
    if jobs < 2:  # noqa: PLR2004 - one
        return []
    groups: dict[tuple[str, ...], dict[str, list[Cell]]] = {}
    for cell in cells:
        groups.setdefault(imports[cell.strategy], {}).setdefault(cell.model, []).append(cell)
    share = max(_LEAST_S, sum(map(seconds, cells)) / (jobs * _UNITS_PER_JOB))
    least = min(groups, key=len, default=())
    units = []
    for imported, of_models in groups.items():
        together = sum(seconds(cell) for each in of_models.values() for cell in each)
        length = max(_LEAST_S / 2, share / _SHORTER) if imported == least and len(groups) > 1 else share
        units += _spread(list(of_models.values()), max(1, round(together / length)), seconds)
    if len(units) < 2:  # noqa: PLR2004 - one
        return []
    return sorted(units, key=lambda unit: -sum(map(seconds, unit)))


def _spread(blocks: list[list[Cell]], parts: int, seconds: Callable[[Cell], float]) -> list[tuple[Cell, ...]]:
    """Blocks over so many parts that take about equally long: the longest first, each to the least (Graham 1969)."""
    lengths = [sum(map(seconds, block)) for block in blocks]
    # Of parts that are equally long the one with fewer cells: what takes no time leaves none without any.
    heap: list[tuple[float, int, int]] = [(0.0, 0, number) for number in range(min(parts, len(blocks)))]
    found: list[list[Cell]] = [[] for _ in heap]
    for length, block in sorted(zip(lengths, blocks, strict=True), key=lambda pair: -pair[0]):
        filled, count, number = heapq.heappop(heap)
        found[number] += block
        heapq.heappush(heap, (filled + length, count + len(block), number))
    return [tuple(each) for each in found]


def imports_by_strategy(plan: Plan, registry: Registry) -> dict[str, tuple[str, ...]]:
    """What the cells of each strategy of a plan import, whichever of its models they are of."""
    models = list(dict.fromkeys(cell.model for cell in plan.cells))
    return {cell.strategy: imports_of(registry, cell.strategy, models) for cell in plan.cells}
