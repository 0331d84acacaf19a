"""The rows of a large table by columns. What is not surely right is left to the row-by-row way, which says what is not.

Import this late, as `harness.tables.frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from harness.bench.consistency import contradictions
from harness.bench.record import Record
from harness.tables.frames import Rows, rows_of, typed
from harness.tables.launches import CELL, Launch, cell_contradictions
from harness.tables.rows import format_rows
from harness.tables.schema import Run
from harness.tables.vetting import sure_cells, sure_launches, sure_records

_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
"""As a run writes a time; what is written otherwise is looked at row by row."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Both CSV files of a table, each value of its column's type."""

    records: pl.DataFrame
    launches: pl.DataFrame


def parse(cells: bytes, launches: bytes | None) -> Columns | None:
    """The files of a table of the schema of today; None where a value may be none of its column."""
    records = typed(Record, cells)
    launched = typed(Launch, format_rows(Launch, ()).encode() if launches is None else launches)
    return None if records is None or launched is None else Columns(records=records, launches=launched)


def rows(columns: Columns, run: Run) -> tuple[Sequence[Record], Sequence[Launch]] | None:
    """The records and launches of a table of `run`; None where one may be of another, be there twice or contradict.

    They are made when they are asked for.
    """
    records, launches = columns.records, columns.launches
    if records.height != run.recorded or not _of_run(records, run) or records.select(CELL).is_duplicated().any():
        return None
    held = sure_cells(records, launches) if sure_launches(launches) else None
    if held is None:
        return None
    if any(map(contradictions, rows_of(Record, records.filter(~sure_records(records))))):
        return None
    for record in rows_of(Record, records.filter(~held)):
        own = launches.filter((pl.col(name) == getattr(record, name)) for name in CELL)
        if cell_contradictions(record, rows_of(Launch, own)):
            return None
    return Rows(Record, records), Rows(Launch, launches)


def _of_run(records: pl.DataFrame, run: Run) -> bool:
    extensions = ["", run.extension, *run.extensions]
    of_run: list[Any] = [pl.col(name) == getattr(run, name) for name in ("combination", "device", "tier")]
    seen = pl.col("carried_from")
    of_run.append(seen.is_null() | seen.str.to_datetime(_MOMENT, strict=False).is_not_null())
    of_run.append(seen.count() == run.carried)
    return bool(records.select(pl.all_horizontal(*of_run, pl.col("extension").is_in(extensions)).all()).item())
