"""Memory of the cells of two tables: what many moved by alike is one finding, what a cell moved beyond it another.

Memory is parted where it is taken: up to the import of the runtime, and beyond it, where the artifact is loaded and
run. Of each part the shift that a runtime's cells share is found first, then what the cells of one strategy share
beyond that, then by the rule of `harness.verdict.memory` what is left of a single cell.

Cells share a shift where nine of ten moved one way by more than `LEAST_MB`, and than cells vary by together: by as much
as those that moved least. Beyond the import half of them have to have moved by about that, since memory that goes by
the size of a model is moved by the size of a model.
What is taken at import hardly varies between launches. Beyond it, readers of large files and allocators make it vary.
Where there are three launches a side or more, they tell how much, those of all cells of one model under one runtime
together. A single launch does not: between single launches of equal versions, 299 pairs in committed tables, the part
beyond the import differed by up to 0.26 of itself. So it has to differ by `LAUNCH_SHARE` there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import median
from typing import Protocol

from harness.bench.record import Record
from harness.tables.schema import Table
from harness.verdict.memory import FEWEST_LAUNCHES, LEAST_MB, MemoryShift, ends, memory_shift
from harness.verdict.together import EXCEPTIONS, Group, Pair, runtime_of, runtimes, strategies, tells

LAUNCH_SHARE = 0.3
"""By what share of the memory beyond the import a cell has to move where a side has fewer than three launches."""

Key = tuple[str, str, str]


class Measured(Protocol):
    """The memory of one serving process, or of a cell, in MiB; None was not measured."""

    @property
    def rss_import_mb(self) -> float | None:
        """After importing the runtime."""

    @property
    def rss_load_mb(self) -> float | None:
        """After loading the artifact."""

    @property
    def rss_peak_mb(self) -> float | None:
        """At its peak."""


Launches = tuple[Mapping[Key, Sequence[Measured]], Mapping[Key, Sequence[Measured]]]
"""The launches of each side's cells, by cell; empty where a table has none."""


class Phase(Enum):
    """When memory is taken."""

    IMPORT = "at import"
    LOAD = "while loading"
    RUN = "while running"


@dataclass(frozen=True, kw_only=True)
class CellMemory:
    """One cell's memory, in MiB, at the peak, or after loading where a side has no peak.

    `common_mb` is what it moved by with others, and `own_mb` what it moved by beyond that, where that was found.
    """

    model: str
    strategy: str
    device: str
    runtime: str
    base_mb: float
    candidate_mb: float
    common_mb: float = 0.0
    own_mb: Mapping[Phase, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The cell without its combination: `resnet18/native`."""
        return f"{self.model}/{self.strategy}"

    @property
    def cell(self) -> Key:
        """What identifies the cell: model, strategy, device."""
        return self.model, self.strategy, self.device

    @property
    def found_mb(self) -> float:
        """By how much it moved as far as that was found, whoever did it."""
        return self.common_mb + sum(self.own_mb.values())

    @property
    def percent(self) -> float:
        """The same in percent of the base."""
        return 100 * self.found_mb / self.base_mb

    @property
    def common_percent(self) -> float:
        """What it moved by with others, in percent of the base."""
        return 100 * self.common_mb / self.base_mb


@dataclass(frozen=True, kw_only=True)
class CommonShift:
    """What cells of a group moved by alike, in MiB: up to the import of the runtime, and beyond it.

    `cells` are those that did, and `of` is how many the group has. `spellings` are their strategies.
    """

    group: Group
    cells: tuple[Key, ...]
    of: int
    import_mb: float
    beyond_mb: float
    spellings: tuple[str, ...]

    @property
    def difference_mb(self) -> float:
        """Both together."""
        return self.import_mb + self.beyond_mb

    @property
    def whose(self) -> str:
        """Whose doing it is."""
        return f"the {'strategy' if self.group.strategy else 'package'}'s, not your models'"


@dataclass(frozen=True, kw_only=True)
class OwnShifts:
    """Cells of one runtime that moved one way at one time, the largest first; `beyond` what they share, if anything."""

    runtime: str
    phase: Phase
    beyond: bool
    cells: tuple[CellMemory, ...]

    @property
    def sizes_mb(self) -> tuple[float, ...]:
        """By how much each moved, in the same order."""
        return tuple(each.own_mb[self.phase] for each in self.cells)


@dataclass(frozen=True, kw_only=True)
class MemoryChanges:
    """What the memory of cells that passed on both sides did.

    `left_out` counts the cells whose memory cannot be held against each other, by the reason.
    """

    cells: tuple[CellMemory, ...] = ()
    common: tuple[CommonShift, ...] = ()
    own: tuple[OwnShifts, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    def by_cell(self) -> dict[Key, CellMemory]:
        """The cells by what identifies them."""
        return {each.cell: each for each in self.cells}


def launches_of(table: Table) -> dict[Key, list[Measured]]:
    """The launches of a table by cell."""
    found: dict[Key, list[Measured]] = {}
    for each in table.launches:
        found.setdefault(each.cell, []).append(each)
    return found


def sources_differ(base: Record, candidate: Record) -> str:
    """Of what different sources the memory of two records is; empty where it is of one."""
    before, after = base.rss_source, candidate.rss_source
    return "" if before == after else f"{_source(before)} and {_source(after)}"


def _source(source: str | None) -> str:
    return "not recorded" if source is None else repr(source)


def memory_changes(pairs: Sequence[Pair], *, launches: Launches = ({}, {})) -> MemoryChanges:
    """What the memory of cells that passed on both sides did; both runs were on one machine, with equal threads.

    Source: the rule of `harness.verdict.memory`, applied to what is left when shared shifts are taken away.
    """
    left_out: Counter[str] = Counter()
    moved: dict[Key, _Moved] = {}
    kept: list[Pair] = []
    for before, after in pairs:
        measured = _measured(before, after, launches)
        if measured and (told := sources_differ(before, after)):
            left_out[f"the figures are of different sources: {told}"] += 1
        elif measured:
            moved[before.cell] = measured
            kept.append((before, after))
    noise_mb = _noise_mb(kept, moved)
    common = _take_common(kept, moved, noise_mb)
    cells = tuple(_cell(pair, moved[pair[0].cell], noise_mb) for pair in kept)
    return MemoryChanges(cells=cells, common=tuple(common), own=tuple(_own(cells)), left_out=dict(left_out))


@dataclass(kw_only=True)
class _Part:
    """One part of a cell's memory on both sides, a value a launch, and what of the difference others share."""

    base: list[float]
    candidate: list[float]
    common_mb: float = 0.0

    @property
    def left_mb(self) -> float:
        """The difference that is not shared."""
        return median(self.candidate) - median(self.base) - self.common_mb

    def shift(self, noise_mb: float) -> MemoryShift:
        """The rule's word on what is not shared: the sides are brought together by what is, upwards."""
        up, down = max(self.common_mb, 0.0), max(-self.common_mb, 0.0)
        return memory_shift(
            [each + up for each in self.base], [each + down for each in self.candidate], noise_mb=noise_mb
        )


@dataclass(kw_only=True)
class _Moved:
    """The memory of one cell on both sides, in MiB.

    `beyond` is what it took beyond the import, with what the base took up to there added on both sides, so that it is
    of the size of all that the process takes. `load_mb` is what of its shift is there after loading.
    """

    base_mb: float
    candidate_mb: float
    imported: _Part | None
    beyond: _Part
    start_mb: float
    load_mb: float | None
    launches: int


def _measured(before: Record, after: Record, launches: Launches) -> _Moved | None:
    """The memory of a cell; None where it was not measured on both sides, by launches where both have enough."""
    for column in ("rss_peak_mb", "rss_load_mb"):
        sides: list[list[Measured]] = [
            [each for each in side.get(before.cell, ()) if getattr(each, column) is not None] for side in launches
        ]
        if min(map(len, sides)) < FEWEST_LAUNCHES:
            sides = [[before], [after]]
        tops = [_values(side, column) for side in sides]
        if not all(tops):
            continue
        imports = [_values(side, "rss_import_mb") for side in sides]
        loads = [_values(side, "rss_load_mb") for side in sides]
        start_mb = median(imports[0]) if all(imports) else 0.0
        beyond = [_less(top, taken, start_mb) for top, taken in zip(tops, imports, strict=True)] if start_mb else tops
        if any(each <= 0 for side in beyond for each in side):
            start_mb, beyond = 0.0, tops
        imported = _Part(base=imports[0], candidate=imports[1]) if start_mb else None
        load_mb = None
        if imported and all(loads):
            load_mb = median(loads[1]) - median(loads[0]) - imported.left_mb
        return _Moved(
            base_mb=median(tops[0]),
            candidate_mb=median(tops[1]),
            imported=imported,
            beyond=_Part(base=beyond[0], candidate=beyond[1]),
            start_mb=start_mb,
            load_mb=load_mb,
            launches=min(map(len, sides)),
        )
    return None


def _values(side: Iterable[Measured], column: str) -> list[float]:
    """A column of all launches of a side; nothing where one lacks it, or it is no memory."""
    values = [getattr(each, column) for each in side]
    return values if all(value is not None and math.isfinite(value) and value > 0 for value in values) else []


def _less(tops: Sequence[float], taken: Sequence[float], start_mb: float) -> list[float]:
    return [top - each + start_mb for top, each in zip(tops, taken, strict=True)]


def _noise_mb(pairs: Sequence[Pair], moved: Mapping[Key, _Moved]) -> dict[Key, float]:
    """What each cell's memory beyond the import varies by between launches of one side."""
    widest: dict[tuple[str, str], float] = {}
    for pair in pairs:
        each, shared = moved[pair[0].cell], (pair[0].model, runtime_of(pair))
        ranges = [high - low for low, high in map(ends, (each.beyond.base, each.beyond.candidate))]
        widest[shared] = max(widest.get(shared, 0.0), *ranges)
    found = {}
    for pair in pairs:
        key, each = pair[0].cell, moved[pair[0].cell]
        smaller_mb = min(median(each.beyond.base), median(each.beyond.candidate)) - each.start_mb
        few = each.launches < FEWEST_LAUNCHES
        found[key] = LAUNCH_SHARE * max(smaller_mb, 0.0) if few else widest[pair[0].model, runtime_of(pair)]
    return found


def _take_common(
    pairs: Sequence[Pair], moved: Mapping[Key, _Moved], noise_mb: Mapping[Key, float]
) -> list[CommonShift]:
    """The shifts that cells share, by runtime and then by strategy, each taken away from what is left of its cells."""
    found = []
    for group, cells in runtimes(pairs).items():
        for part, own in ((group, cells), *strategies(group, cells).items()):
            if tells(own) and (shift := _common(part, own, moved, noise_mb)):
                found.append(shift)
    return found


def _common(
    group: Group, pairs: Sequence[Pair], moved: Mapping[Key, _Moved], noise_mb: Mapping[Key, float]
) -> CommonShift | None:
    keys = [before.cell for before, _ in pairs]
    imports = {key: part for key in keys if (part := moved[key].imported)}
    import_mb, together = _take(imports, LEAST_MB) if len(imports) == len(keys) else (0.0, set[Key]())
    # What single cells vary by, cells together vary less by.
    varies_mb = median(noise_mb[key] for key in keys) / math.sqrt(len(keys))
    beyond = {key: moved[key].beyond for key in keys}
    # Models may import something by themselves, and that moves as it likes. What goes by their size is not shared.
    within_mb = {key: max(LEAST_MB, noise_mb[key]) for key in keys}
    beyond_mb, others = _take(beyond, max(LEAST_MB, varies_mb), within_mb)
    together |= others
    if not together:
        return None
    return CommonShift(
        group=group,
        cells=tuple(key for key in keys if key in together),
        of=len(keys),
        import_mb=import_mb,
        beyond_mb=beyond_mb,
        spellings=tuple(dict.fromkeys(key[1].partition(":")[0] for key in keys if key in together)),
    )


def _take(
    parts: Mapping[Key, _Part], needed_mb: float, within_mb: Mapping[Key, float] | None = None
) -> tuple[float, set[Key]]:
    """The shift above `needed_mb` that nearly all of `parts` share, taken away from those that have it; which have.

    With `within_mb`, half of them have to lie so near to it.
    """
    ordered = sorted(part.left_mb for part in parts.values())
    odd = len(ordered) // EXCEPTIONS
    low, high = ordered[odd], ordered[-1 - odd]
    least = low if low > needed_mb else high if high < -needed_mb else 0.0
    if not least:
        return 0.0, set()
    shared_mb = median(left for left in ordered if abs(left - least) <= LEAST_MB)
    near = [abs(part.left_mb - shared_mb) <= within_mb[key] for key, part in parts.items()] if within_mb else [True]
    if 2 * sum(near) < len(near):
        return 0.0, set()
    way = math.copysign(1.0, shared_mb)
    having = {key for key, part in parts.items() if way * (part.left_mb - shared_mb) >= -LEAST_MB}
    for key in having:
        parts[key].common_mb += shared_mb
    return shared_mb, having


def _cell(pair: Pair, moved: _Moved, noise_mb: Mapping[Key, float]) -> CellMemory:
    key = pair[0].cell
    own_mb: dict[Phase, float] = {}
    if moved.imported and (shift := moved.imported.shift(0.0)).found:
        own_mb[Phase.IMPORT] = shift.difference_mb
    if (shift := moved.beyond.shift(noise_mb[key])).found:
        loaded_mb = moved.load_mb or 0.0
        own_mb[Phase.LOAD if 2 * loaded_mb / shift.difference_mb >= 1 else Phase.RUN] = shift.difference_mb
    return CellMemory(
        model=key[0],
        strategy=key[1],
        device=key[2],
        runtime=runtime_of(pair),
        base_mb=moved.base_mb,
        candidate_mb=moved.candidate_mb,
        common_mb=moved.beyond.common_mb + (moved.imported.common_mb if moved.imported else 0.0),
        own_mb=own_mb,
    )


def _own(cells: Sequence[CellMemory]) -> list[OwnShifts]:
    """The shifts of single cells, by runtime, time and direction, apart where they share nothing."""
    found: dict[tuple[str, Phase, bool, bool], list[CellMemory]] = {}
    for each in cells:
        for phase, moved_mb in each.own_mb.items():
            found.setdefault((each.runtime, phase, each.common_mb != 0, moved_mb > 0), []).append(each)
    return [
        OwnShifts(
            runtime=runtime,
            phase=phase,
            beyond=beyond,
            cells=tuple(sorted(own, key=lambda each: -abs(each.own_mb[phase]))),
        )
        for (runtime, phase, beyond, _), own in found.items()
    ]
