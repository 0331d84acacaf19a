"""Figures of time and memory: which columns have them, and of which cells they are of the machine that the run was on.

On a cluster without `--machine`, cells are converted and checked on whatever node has room, and timed here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from harness.bench.record import Record
from harness.tables.ingredients import HERE, Ingredients
from harness.tables.schema import Table

OF_THE_MACHINE = (
    *("convert_s", "load_s", "duration_s"),
    *("latency_ms", "latency_iqr_ms", "latency_spread", "latency_quality", "launches", "iterations", "latency_ratio"),
    *("rss_base_mb", "rss_import_mb", "rss_load_mb", "rss_peak_mb", "rss_source", "service_rss_mb", "overhead_ms"),
    *("gpu_peak_mb", "gpu_source", "gpu_torch_peak_mb", "gpu_tensorflow_peak_mb"),
)
"""The columns of time and memory, which a cell that was carried over from another machine does not have."""

_OF_CONVERTING = ("convert_s", "duration_s")


def without_figures(record: Record, columns: Collection[str] = OF_THE_MACHINE) -> Record:
    """A record without some of the columns of time and memory."""
    empty: dict[str, Any] = dict.fromkeys(columns)
    return replace(record, **empty)


def has_figures(record: Record) -> bool:
    """Whether a row that was carried over has figures: of timing, or of a whole cell that was not timed."""
    return record.duration_s is not None or record.latency_ms is not None


def of_other_machines(table: Table) -> dict[tuple[str, str, str], tuple[str, ...]]:
    """The columns of a table's cells that are of other machines than its run says, by what identifies a cell.

    Those of a run on a class of machines are of that class: it alone times on nodes. A node whose surroundings are as
    those of the machine that gave the command counts as that one.
    """
    ran_on = {
        record.cell: _ran_on(table.ingredients.get(record.extension), record)
        for record in table.records
        if table.ingredients
    }
    of_a_class = {
        record.carried_from
        for record in table.records
        if record.latency_ms is not None and ran_on.get(record.cell, (HERE,))[-1] != HERE
    }
    return {
        record.cell: _OF_CONVERTING if names[-1] == HERE else OF_THE_MACHINE
        for record in table.records
        if (names := ran_on.get(record.cell, (HERE,))) != (HERE,) and record.carried_from not in of_a_class
    }


def _ran_on(ingredients: Ingredients | None, record: Record) -> tuple[str, ...]:
    known = ingredients.ran_on if ingredients else {}
    return known.get(f"{record.model}/{record.strategy}", (HERE,))
