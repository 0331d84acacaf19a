"""The memory of many cells at once, by arrays: what they share and which moved beyond it.

It comes to the same as `harness.verdict.shifts.memory_changes` of few, to the last digit. A cell that may have moved by
itself is asked of by the rule for one, and the others are made when somebody asks for them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from harness.tables.launches import FEWEST_LAUNCHES
from harness.tables.lazy import Lazy
from harness.verdict.many_parts import Array, ManyParts, middle, parts_of
from harness.verdict.memory import LEAST_MB, LEAST_SHARE
from harness.verdict.parts import LAUNCH_SHARE, Launches, Parted
from harness.verdict.shifts import (
    CellMemory,
    CommonShift,
    MemoryChanges,
    cell_memory,
    different_sources,
    own_shifts,
    sources_differ,
)
from harness.verdict.together import EXCEPTIONS, Group, Pair, runtime_of, strategy_of, tells

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def memory_of_many(pairs: Sequence[Pair], launches: Launches) -> MemoryChanges:
    """What the memory of cells that passed on both sides did."""
    parts = parts_of(pairs, launches)
    measured = parts.launches > 0
    left_out: Counter[str] = Counter()
    for place in np.flatnonzero(measured).tolist():
        if told := sources_differ(*pairs[place]):
            left_out[different_sources(told)] += 1
            measured[place] = False
    kept = np.flatnonzero(measured).tolist()
    runtimes = [runtime_of(pair) for pair in pairs]
    noise_mb = _noise(pairs, runtimes, parts, measured)
    shared = _Shared(pairs, parts, noise_mb)
    common = [found for group, places in _groups(pairs, runtimes, kept) if (found := shared.take(group, places))]

    def make(wanted: Sequence[int]) -> tuple[CellMemory, ...]:
        places = [kept[each] for each in wanted]
        return tuple(cell_memory(pairs[place], shared.of(place), float(noise_mb[place])) for place in places)

    moved = np.flatnonzero(shared.perhaps_own()[kept]).tolist()
    return MemoryChanges(
        cells=Lazy(len(kept), make), common=tuple(common), own=tuple(own_shifts(make(moved))), left_out=dict(left_out)
    )


def _noise(pairs: Sequence[Pair], runtimes: Sequence[str], parts: ManyParts, measured: Mask) -> Array:
    """What each cell's memory beyond the import varies by between launches of one side, as `noise_of` has it."""
    base, candidate = parts.base.beyond, parts.candidate.beyond
    numbers: dict[tuple[str, str], int] = {}
    each = [
        numbers.setdefault((pair[0].model, runtime), len(numbers))
        for pair, runtime in zip(pairs, runtimes, strict=True)
    ]
    own = np.maximum(base[:, 3] - base[:, 0], candidate[:, 3] - candidate[:, 0])
    widest = np.zeros(len(numbers))
    np.maximum.at(widest, np.array(each)[measured], own[measured])
    smaller_mb = np.minimum(middle(base), middle(candidate)) - parts.start_mb
    few = parts.launches < FEWEST_LAUNCHES
    return np.where(few, LAUNCH_SHARE * np.maximum(smaller_mb, 0.0), widest[each])


def _groups(pairs: Sequence[Pair], runtimes: Sequence[str], kept: Sequence[int]) -> Iterator[tuple[Group, list[int]]]:
    """The cells of each runtime that is known, and then of its strategies where it has several."""
    of_runtime: dict[str, list[int]] = {}
    for place in kept:
        if runtimes[place]:
            of_runtime.setdefault(runtimes[place], []).append(place)
    for runtime, places in of_runtime.items():
        yield Group(runtime=runtime), places
        of_strategy: dict[str, list[int]] = {}
        for place in places:
            of_strategy.setdefault(strategy_of(pairs[place]), []).append(place)
        if len(of_strategy) > 1:
            yield from ((Group(runtime=runtime, strategy=name), own) for name, own in of_strategy.items())


class _Shared:
    """What cells share with others, of each part, and what is left of them beyond that."""

    def __init__(self, pairs: Sequence[Pair], parts: ManyParts, noise_mb: Array) -> None:
        self._pairs = pairs
        self._parts = parts
        self._noise_mb = noise_mb
        self._imported_mb, self._beyond_mb = np.zeros(len(pairs)), np.zeros(len(pairs))
        base, candidate = parts.base, parts.candidate
        self._moved_mb = [
            middle(after) - middle(before)
            for before, after in ((base.imported, candidate.imported), (base.beyond, candidate.beyond))
        ]

    def take(self, group: Group, places: list[int]) -> CommonShift | None:
        """What the cells of a group share, taken away from what is left of them."""
        if not tells([self._pairs[place] for place in places]):
            return None
        at = np.array(places)
        imported_mb, beyond_mb = (
            moved[at] - common[at]
            for moved, common in zip(self._moved_mb, (self._imported_mb, self._beyond_mb), strict=True)
        )
        import_mb, having_import = 0.0, np.zeros(len(places), dtype=bool)
        if not np.isnan(imported_mb).any():
            import_mb, having_import = _take(imported_mb, LEAST_MB)
        noise_mb = self._noise_mb[at]
        varies_mb = _median(np.sort(noise_mb)) / math.sqrt(len(places))
        shared_mb, having_beyond = _take(beyond_mb, max(LEAST_MB, varies_mb), np.maximum(LEAST_MB, noise_mb))
        self._imported_mb[at[having_import]] += import_mb
        self._beyond_mb[at[having_beyond]] += shared_mb
        cells = [self._pairs[place][0].cell for place in at[having_import | having_beyond].tolist()]
        if not cells:
            return None
        return CommonShift(
            group=group,
            cells=tuple(cells),
            of=len(places),
            import_mb=import_mb,
            beyond_mb=shared_mb,
            spellings=tuple(dict.fromkeys(cell[1].partition(":")[0] for cell in cells)),
        )

    def of(self, place: int) -> Parted:
        """The parts of one cell, with what others share of them."""
        return self._parts.of(place, float(self._imported_mb[place]), float(self._beyond_mb[place]))

    def perhaps_own(self) -> Mask:
        """Which cells any part of moved beyond what is shared, or all of them."""
        base, candidate, common_mb = self._parts.base, self._parts.candidate, self._beyond_mb + self._imported_mb
        return (
            _found(base.imported, candidate.imported, self._imported_mb, np.zeros(len(common_mb)))
            | _found(base.beyond, candidate.beyond, self._beyond_mb, self._noise_mb)
            | _found(base.whole, candidate.whole, common_mb, self._noise_mb)
        )


def _take(left_mb: Array, needed_mb: float, within_mb: Array | None = None) -> tuple[float, Mask]:
    """The shift above `needed_mb` that nearly all share, and which have it, as few cells are asked for it."""
    nobody: Mask = np.zeros(len(left_mb), dtype=bool)
    ordered = np.sort(left_mb)
    odd = len(ordered) // EXCEPTIONS
    low, high = float(ordered[odd]), float(ordered[-1 - odd])
    least = low if low > needed_mb else high if high < -needed_mb else 0.0
    if not least:
        return 0.0, nobody
    shared_mb = _median(ordered[np.abs(ordered - least) <= LEAST_MB])
    if within_mb is not None and 2 * int((np.abs(left_mb - shared_mb) <= within_mb).sum()) < len(left_mb):
        return 0.0, nobody
    having: Mask = math.copysign(1.0, shared_mb) * (left_mb - shared_mb) >= -LEAST_MB
    return shared_mb, having


def _found(base: Array, candidate: Array, common_mb: Array, noise_mb: Array) -> Mask:
    """Whether the rule of `harness.verdict.memory` finds what is not shared; not where it is not known."""
    a = base + np.maximum(common_mb, 0.0)[:, None]
    b = candidate + np.maximum(-common_mb, 0.0)[:, None]
    a_mb, b_mb = middle(a), middle(b)
    ranges_mb = np.maximum(a[:, 3] - a[:, 0], b[:, 3] - b[:, 0])
    least_mb = np.maximum(LEAST_MB, LEAST_SHARE * np.minimum(a_mb, b_mb))
    apart = (b[:, 0] > a[:, 3]) | (a[:, 0] > b[:, 3])
    found: Mask = apart & (np.abs(b_mb - a_mb) > np.maximum(np.maximum(least_mb, ranges_mb), noise_mb))
    return found


def _median(ordered: Array) -> float:
    """The median of sorted values."""
    count = len(ordered)
    return float((ordered[(count - 1) // 2] + ordered[count // 2]) / 2)
