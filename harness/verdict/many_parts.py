"""The parts of many cells' memory at once, by arrays: those of which every launch was measured throughout.

It comes to the same as `harness.verdict.parts.parted` of one cell after another, to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from harness.tables.launches import FEWEST_LAUNCHES
from harness.verdict.memory import Launched
from harness.verdict.parts import Key, Launches, Part, Parted, Taken
from harness.verdict.together import Pair

Array = np.ndarray[Any, np.dtype[np.float64]]


def parted_at_once(pairs: Sequence[Pair], launches: Launches) -> dict[Key, Parted]:
    """The parts of the cells that have enough launches on both sides, and of each launch all of its memory."""
    alike: dict[tuple[int, int], list[tuple[Key, Taken, Taken]]] = {}
    for before, _ in pairs:
        key = before.cell
        base, candidate = (side.get(key) for side in launches)
        if base and candidate:
            alike.setdefault((len(base.peaks), len(candidate.peaks)), []).append((key, base, candidate))
    return dict(each for counts, cells in alike.items() if min(counts) >= FEWEST_LAUNCHES for each in _parted(cells))


def _parted(cells: Sequence[tuple[Key, Taken, Taken]]) -> Iterator[tuple[Key, Parted]]:
    """The parts of cells that have equally many launches, a row of an array each."""
    _, base, candidate = zip(*cells, strict=True)
    base_columns, candidate_columns = (_columns(side) for side in (base, candidate))
    start = _middle(base_columns[0])
    beyond = [peaks - imports + start[:, None] for imports, _, peaks in (base_columns, candidate_columns)]
    everything = np.concatenate([*base_columns, *candidate_columns, *beyond], axis=1)
    whole = (np.isfinite(everything) & (everything > 0)).all(axis=1).tolist()
    moved = _middle(candidate_columns[0]) - start
    loaded = (_middle(candidate_columns[1]) - _middle(base_columns[1]) - moved).tolist()
    sides = [
        [_launched(columns[2]), _launched(columns[0]), _launched(more)]
        for columns, more in zip((base_columns, candidate_columns), beyond, strict=True)
    ]
    count = min(base_columns[0].shape[1], candidate_columns[0].shape[1])
    starts = start.tolist()
    for at, (key, _, _) in enumerate(cells):
        if whole[at]:
            top, imported, further = (
                Part(base=one[at], candidate=other[at]) for one, other in zip(*sides, strict=True)
            )
            yield (
                key,
                Parted(
                    whole=top,
                    imported=imported,
                    beyond=further,
                    start_mb=starts[at],
                    load_mb=loaded[at],
                    launches=count,
                ),
            )


def _columns(taken: Sequence[Taken]) -> tuple[Array, Array, Array]:
    """Imports, loads and peaks, a row a cell; NaN was not measured."""
    imports, loads, peaks = (
        np.array([getattr(each, name) for each in taken], dtype=np.float64) for name in ("imports", "loads", "peaks")
    )
    return imports, loads, peaks


def _middle(values: Array) -> Array:
    ordered, count = np.sort(values, axis=1), values.shape[1]
    return (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2


def _launched(values: Array) -> list[Launched]:
    """What counts of each row, as `Launched.of` has it."""
    ordered, count = np.sort(values, axis=1), values.shape[1]
    odd = count // 6
    chosen = ordered[:, [odd, (count - 1) // 2, count // 2, count - 1 - odd]]
    return [Launched(*each) for each in chosen.tolist()]
