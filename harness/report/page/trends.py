"""Where the numbers of a cell changed from run to run: within one combination, on one machine, never of outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from harness.bench.record import Record
from harness.tables.schema import Table

ChangePoints: TypeAlias = Callable[[Sequence[float]], tuple[int, ...]]
"""Of values in the order of time, the places from which on they are others."""

OF_TIME = ("latency_ms", "rss_peak_mb")
"""The columns that are looked at. What follows from the pins alone has no noise to look through."""

FEWEST = 4
"""Of fewer values nothing is told."""


def none_found(values: Sequence[float]) -> tuple[int, ...]:
    """What finds no change in any `values`."""
    del values
    return ()


def changes_of(tables: Sequence[Table], change_points: ChangePoints) -> list[dict[str, Any]]:
    """The changes of all cells. `tables` are in the order of time within a combination.

    Each has the `cell` (`COMBINATION/MODEL/STRATEGY`), its `device`, the `column`, and by their places the `tables`
    from whose run on the values are others. What a run carried over is no value of its own.
    """
    series: dict[tuple[Any, ...], list[tuple[str, int, float]]] = {}
    for place, table in enumerate(tables):
        run = table.run
        machine = (run.machine.cpu, run.machine.cores, run.machine.memory_mb, run.gpu, run.threads)
        for record in table.records:
            for column in OF_TIME:
                value = _value(record, column)
                if value is not None and record.carried_from is None:
                    key = (record.cell_id, record.device, column, machine)
                    series.setdefault(key, []).append((run.started, place, value))
    found = []
    for (cell, device, column, _), values in series.items():
        values.sort()
        points = change_points([value for _, _, value in values]) if len(values) >= FEWEST else ()
        if points:
            starts = [values[point][1] for point in points]
            found.append({"cell": cell, "device": device, "column": column, "tables": starts})
    return found


def _value(record: Record, column: str) -> float | None:
    value: float | None = getattr(record, column)
    return value if value is not None and math.isfinite(value) else None
