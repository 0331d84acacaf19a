"""The parts of many cells' memory at once, by arrays, a row a cell.

It comes to the same as `harness.verdict.parts.parted` of one cell after another, to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.tables.launches import FEWEST_LAUNCHES
from harness.verdict.memory import Launched
from harness.verdict.parts import Launches, Part, Parted, Taken, parted
from harness.verdict.together import Pair

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Side:
    """Of one side what counts of each cell's launches, as `Launched` has it, a row a cell; NaN where not known."""

    whole: Array
    imported: Array
    beyond: Array


@dataclass(frozen=True)
class ManyParts:
    """The memory of many cells on both sides, in MiB; `launches` is 0 where it was not measured on both."""

    base: Side
    candidate: Side
    start_mb: Array
    load_mb: Array
    launches: Array

    def of(self, place: int, imported_mb: float, beyond_mb: float) -> Parted:
        """The parts of one cell, of which so much is shared with others."""
        base, candidate, load_mb = self.base, self.candidate, float(self.load_mb[place])
        known = not math.isnan(base.imported[place, 0])
        return Parted(
            whole=_part(base.whole[place], candidate.whole[place]),
            imported=_part(base.imported[place], candidate.imported[place], imported_mb) if known else None,
            beyond=_part(base.beyond[place], candidate.beyond[place], beyond_mb),
            start_mb=float(self.start_mb[place]),
            load_mb=None if math.isnan(load_mb) else load_mb,
            launches=int(self.launches[place]),
        )


def parts_of(pairs: Sequence[Pair], launches: Launches) -> ManyParts:
    """The parts of cells: at once of those that have enough launches on both sides, each measured throughout."""
    many = _nothing(len(pairs))
    alike: dict[tuple[int, int], list[tuple[int, Taken, Taken]]] = {}
    for place, (before, _) in enumerate(pairs):
        base, candidate = (side.get(before.cell) for side in launches)
        if base and candidate:
            alike.setdefault((len(base.peaks), len(candidate.peaks)), []).append((place, base, candidate))
    for counts, cells in alike.items():
        if min(counts) >= FEWEST_LAUNCHES:
            _put_alike(many, cells)
    for place in np.flatnonzero(many.launches == 0).tolist():
        if each := parted(*pairs[place], launches):
            _put(many, place, each)
    return many


def middle(values: Array) -> Array:
    """The median of each row of what counts of launches."""
    return (values[:, 1] + values[:, 2]) / 2


def _nothing(cells: int) -> ManyParts:
    base, candidate = (Side(*(np.full((cells, 4), math.nan) for _ in range(3))) for _ in range(2))
    return ManyParts(base, candidate, np.zeros(cells), np.full(cells, math.nan), np.zeros(cells))


def _put(many: ManyParts, place: int, each: Parted) -> None:
    for side, name in ((many.base, "base"), (many.candidate, "candidate")):
        side.whole[place], side.beyond[place] = getattr(each.whole, name), getattr(each.beyond, name)
        if each.imported:
            side.imported[place] = getattr(each.imported, name)
    many.start_mb[place], many.launches[place] = each.start_mb, each.launches
    many.load_mb[place] = math.nan if each.load_mb is None else each.load_mb


def _put_alike(many: ManyParts, cells: Sequence[tuple[int, Taken, Taken]]) -> None:
    """The parts of cells that have equally many launches."""
    places, base, candidate = zip(*cells, strict=True)
    columns = [_columns(side) for side in (base, candidate)]
    counted = [[_launched(column) for column in side] for side in columns]
    start = middle(counted[0][0])
    beyond = [peaks - imports + start[:, None] for imports, _, peaks in columns]
    everything = np.concatenate([*columns[0], *columns[1], *beyond], axis=1)
    whole = (np.isfinite(everything) & (everything > 0)).all(axis=1)
    at = np.array(places)[whole]
    for side, (imports, _, peaks), more in zip((many.base, many.candidate), counted, beyond, strict=True):
        side.whole[at], side.imported[at], side.beyond[at] = peaks[whole], imports[whole], _launched(more)[whole]
    (imported_a, loaded_a, _), (imported_b, loaded_b, _) = ([middle(each) for each in side] for side in counted)
    many.start_mb[at] = start[whole]
    many.load_mb[at] = (loaded_b - loaded_a - (imported_b - imported_a))[whole]
    many.launches[at] = min(side[0].shape[1] for side in columns)


def _columns(taken: Sequence[Taken]) -> tuple[Array, Array, Array]:
    """Imports, loads and peaks, a row a cell; NaN was not measured."""
    imports, loads, peaks = (
        np.array([getattr(each, name) for each in taken], dtype=np.float64) for name in ("imports", "loads", "peaks")
    )
    return imports, loads, peaks


def _launched(values: Array) -> Array:
    """What counts of each row, as `Launched.of` has it."""
    ordered, count = np.sort(values, axis=1), values.shape[1]
    odd = count // 6
    chosen: Array = ordered[:, [odd, (count - 1) // 2, count // 2, count - 1 - odd]]
    return chosen


def _part(base: Array, candidate: Array, common_mb: float = 0.0) -> Part:
    return Part(base=Launched(*base.tolist()), candidate=Launched(*candidate.tolist()), common_mb=common_mb)
