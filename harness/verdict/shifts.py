"""Memory of the cells of two tables: what many moved by alike is one finding, what a cell moved beyond it another.

Memory is parted where it is taken (`harness.verdict.parts`). Of each part the shift that a runtime's cells share is
found first, then what the cells of one strategy share beyond that, then by the rule of `harness.verdict.memory` what is
left of a single cell. Where neither part is above what is told of one, both together may be. A limit is held against
all that a cell moved by, since a deployment has to hold both parts, whoever moved them.

Cells share a shift where nine of ten moved one way by more than `LEAST_MB`, and than cells vary by together: by as much
as those that moved least. Beyond the import half of them have to have moved by about that, since memory that goes by
the size of a model is moved by the size of a model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from statistics import median

from harness.verdict.memory import LEAST_MB, MemoryShift
from harness.verdict.parts import Launches, Part, Parted, noise_of, parted
from harness.verdict.seen import Key, Row
from harness.verdict.together import EXCEPTIONS, Group, Pair, runtime_of, runtimes, strategies, tells

MANY_CELLS = 500
"""From so many cells on it pays to load NumPy for them."""


class Phase(Enum):
    """When memory is taken."""

    IMPORT = "at import"
    LOAD = "while loading"
    RUN = "while running"
    PEAK = "at the peak"


@dataclass(frozen=True, kw_only=True)
class CellMemory:
    """One cell's memory, in MiB, at the peak, or after loading where a side has no peak.

    `whole` is the rule's word on all of it. `common_mb` is what it moved by with others, and `own_mb` what it moved by
    beyond that, where that was found. `launches` are those of the side that has fewer.
    """

    model: str
    strategy: str
    device: str
    runtime: str
    whole: MemoryShift
    launches: int
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
        """By how much it moved as far as that was found, whoever did it: of its parts, or of all where that is more."""
        parts_mb = self.common_mb + sum(self.own_mb.values())
        return max(parts_mb, self.whole.difference_mb) if self.whole.found else parts_mb

    @property
    def percent(self) -> float:
        """The same in percent of the base."""
        return self.percent_of(self.found_mb)

    @property
    def common_percent(self) -> float:
        """What it moved by with others, in percent of the base."""
        return self.percent_of(self.common_mb)

    def percent_of(self, amount_mb: float) -> float:
        """An amount in percent of the base."""
        return 100 * amount_mb / self.whole.a_mb


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

    cells: Sequence[CellMemory] = ()
    common: tuple[CommonShift, ...] = ()
    own: tuple[OwnShifts, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    def by_cell(self) -> dict[Key, CellMemory]:
        """The cells by what identifies them."""
        return {each.cell: each for each in self.cells}


def sources_differ(base: Row, candidate: Row) -> str:
    """Of what different sources the memory of two records is; empty where it is of one."""
    before, after = base.rss_source, candidate.rss_source
    return "" if before == after else f"{_source(before)} and {_source(after)}"


def different_sources(told: str) -> str:
    """Why a cell is left out, by what `sources_differ` told of it."""
    return f"the figures are of different sources: {told}"


def _source(source: str | None) -> str:
    return "not recorded" if source is None else repr(source)


def memory_changes(pairs: Sequence[Pair], *, launches: Launches = ({}, {})) -> MemoryChanges:
    """What the memory of cells that passed on both sides did; both runs were on one machine, with equal threads.

    Source: the rule of `harness.verdict.memory`, applied to what is left when shared shifts are taken away.
    """
    if len(pairs) >= MANY_CELLS:
        from harness.verdict.many_shifts import memory_of_many

        return memory_of_many(pairs, launches)
    left_out: Counter[str] = Counter()
    moved: dict[Key, Parted] = {}
    kept: list[Pair] = []
    for before, after in pairs:
        measured = parted(before, after, launches)
        if measured and (told := sources_differ(before, after)):
            left_out[different_sources(told)] += 1
        elif measured:
            moved[before.cell] = measured
            kept.append((before, after))
    noise_mb = noise_of(kept, moved)
    common = _take_common(kept, moved, noise_mb)
    cells = tuple(cell_memory(pair, moved[pair[0].cell], noise_mb[pair[0].cell]) for pair in kept)
    return MemoryChanges(cells=cells, common=tuple(common), own=tuple(own_shifts(cells)), left_out=dict(left_out))


def _take_common(
    pairs: Sequence[Pair], moved: Mapping[Key, Parted], noise_mb: Mapping[Key, float]
) -> list[CommonShift]:
    """The shifts that cells share, by runtime and then by strategy, each taken away from what is left of its cells."""
    found = []
    for group, cells in runtimes(pairs).items():
        for part, own in ((group, cells), *strategies(group, cells).items()):
            if tells(own) and (shift := _common(part, own, moved, noise_mb)):
                found.append(shift)
    return found


def _common(
    group: Group, pairs: Sequence[Pair], moved: Mapping[Key, Parted], noise_mb: Mapping[Key, float]
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
    parts: Mapping[Key, Part], needed_mb: float, within_mb: Mapping[Key, float] | None = None
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


def cell_memory(pair: Pair, moved: Parted, noise_mb: float) -> CellMemory:
    """What one cell's memory did, by its parts and what it varies by, when what others share was told."""
    key = pair[0].cell
    own_mb: dict[Phase, float] = {}
    if moved.imported and (shift := moved.imported.shift(0.0)).found:
        own_mb[Phase.IMPORT] = shift.difference_mb
    if (shift := moved.beyond.shift(noise_mb)).found:
        loaded_mb = moved.load_mb or 0.0
        own_mb[Phase.LOAD if 2 * loaded_mb / shift.difference_mb >= 1 else Phase.RUN] = shift.difference_mb
    whole = moved.whole.shift(noise_mb)
    left = replace(moved.whole, common_mb=moved.common_mb).shift(noise_mb) if moved.common_mb else whole
    if left.found and not own_mb:
        own_mb[Phase.PEAK] = left.difference_mb
    return CellMemory(
        model=key[0],
        strategy=key[1],
        device=key[2],
        runtime=runtime_of(pair),
        whole=whole,
        launches=moved.launches,
        common_mb=moved.common_mb,
        own_mb=own_mb,
    )


def own_shifts(cells: Sequence[CellMemory]) -> list[OwnShifts]:
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
