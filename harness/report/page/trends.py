"""Since when numbers of cells are others, from run to run: never over machines, never of outcomes.

None of it decides anything: it says where to look.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from harness.bench.errors import UsageError
from harness.tables.schema import Table
from harness.verdict.changepoints import change_points_by, conditions_of

COLUMNS = ("latency_ms", "rss_peak_mb")
"""Those that are looked at. What follows from the pins alone has no noise to look through."""


def changes_of(tables: Sequence[Table]) -> tuple[list[dict[str, Any]], str]:
    """The changes of all cells, and why there are none to be told, where that is so.

    `tables` are in any order. Each change has the `cell` (`COMBINATION/MODEL/STRATEGY`), its `device`, the `column`,
    and `points`: the place of the table whose run is the first of the new level, and the levels before and after.
    What a run carried over is no value of its own.
    """
    places = sorted(range(len(tables)), key=lambda place: tables[place].run.started)
    series: dict[tuple[str, str, str], list[tuple[int, float | None, Hashable]]] = {}
    for place in places:
        condition = conditions_of(tables[place].run)
        for record in tables[place].records:
            if record.carried_from is None:
                for column in COLUMNS:
                    values = series.setdefault((record.cell_id, record.device, column), [])
                    values.append((place, getattr(record, column), condition))
    found = []
    for (cell, device, column), values in series.items():
        try:
            points = change_points_by([value for _, value, _ in values], [condition for *_, condition in values])
        except UsageError as error:
            return [], str(error)
        if points:
            told = [[values[each.index][0], each.before, each.after] for each in points]
            found.append({"cell": cell, "device": device, "column": column, "points": told})
    return found, ""
