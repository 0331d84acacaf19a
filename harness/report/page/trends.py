"""Cells from run to run, as the page has them: what had moved, and since when their numbers are others.

None of it decides anything: it says where to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from harness.bench.record import Record
from harness.report.following import Number, levels_of, moved_between
from harness.tables.schema import Run, Table


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A cell in the table at `place` of a page."""

    place: int
    run: Run
    record: Record


Followed = Mapping[tuple[str, str], Sequence[Sighting]]
"""The sightings of each cell by its id and device, the oldest first."""


def followed(tables: Sequence[Table]) -> Followed:
    """The cells of tables, which are in any order; their places are those in `tables`."""
    cells: dict[tuple[str, str], list[Sighting]] = {}
    for place in sorted(range(len(tables)), key=lambda place: tables[place].run.started):
        for record in tables[place].records:
            seen = Sighting(place=place, run=tables[place].run, record=record)
            cells.setdefault((record.cell_id, record.device), []).append(seen)
    return cells


def changes_of(cells: Followed) -> list[dict[str, Any]]:
    """The change points of all cells.

    Each has the `cell` (`COMBINATION/MODEL/STRATEGY`), its `device`, the `column`, and `points`: the place of the table
    whose run is the first of the new level, and the levels before and after.
    """
    return [
        {
            "cell": cell,
            "device": device,
            "column": number.column,
            "points": [[seen[each.index].place, each.before, each.after] for each in changes],
        }
        for (cell, device), seen in cells.items()
        for number in Number
        if (changes := levels_of(seen, number).changes)
    ]


def moves_of(cells: Followed) -> dict[tuple[int, str], str]:
    """What of a cell's versions and code was not as in the run before, by the table's place and the cell's id."""
    return {
        (now.place, cell): "; ".join(moved)
        for (cell, _), seen in cells.items()
        for before, now in pairwise(seen)
        if (moved := moved_between(before, now, arrow="→"))
    }


def numbers_to_json() -> list[dict[str, Any]]:
    """The numbers that have a history, each with the columns that part it into series, beside the machine."""
    return [
        {"column": each.column, "title": each.title, "unit": each.unit, "by": list(each.parted_by)} for each in Number
    ]
