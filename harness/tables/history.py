"""What became of cells from run to run, over all tables of a folder of results. Import this late: it loads Polars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl

from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.tables.collection import no_collection
from harness.tables.frames import rows_of
from harness.tables.past import PastRun, past_rows

_NAMED = ("combination", "model", "strategy")


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One cell in one run; its outcome and numbers are those of `record`."""

    run: PastRun
    record: Record

    @property
    def cell_id(self) -> str:
        """The cell's id, such as `torch2.1/resnet18/onnx-torchscript:16`."""
        return self.record.cell_id


@dataclass(frozen=True, kw_only=True)
class History:
    """The cells that were asked for, the oldest run first; `unread` are the tables that could not be read, and why."""

    sightings: tuple[Sighting, ...]
    unread: Mapping[Path, str] = field(default_factory=dict)

    def by_cell(self) -> dict[tuple[str, str], tuple[Sighting, ...]]:
        """The sightings of each cell, by its id and device, in the order of ids."""
        found: dict[tuple[str, str], list[Sighting]] = {}
        for each in self.sightings:
            found.setdefault((each.cell_id, each.record.device), []).append(each)
        return {key: tuple(found[key]) for key in sorted(found)}


def history(results_root: Path, cells: Sequence[str], *, cache: Path) -> History:
    """The runs that had one of `cells`, over all tables below `results_root`, those of selected cells too.

    A cell is `COMBINATION/MODEL/STRATEGY`, or `MODEL/STRATEGY` of any combination; each part may be a glob. `cache` is
    a folder of its own, made if need be, that may be removed at any time: tables are read once, and from there after.
    Raises `UsageError` where a name is none of a cell, `results_root` is no folder, or the cache cannot be written.
    """
    wanted = [_parts(cell) for cell in cells]
    if not results_root.is_dir():
        msg = f"{results_root}: no such folder of results. `harness run` makes tables under results/."
        raise UsageError(msg)
    with no_collection(), past_rows(results_root, cache) as past:
        rows = _matching(past.rows, wanted)
        records = rows_of(Record, rows)
    runs = (past.runs[run_id] for run_id in rows["run_id"].to_list())
    found = [Sighting(run=run, record=record) for run, record in zip(runs, records, strict=True)]
    found.sort(key=lambda each: (each.run.started, each.run.run_id, each.record.model, each.record.strategy))
    return History(sightings=tuple(found), unread=past.unread)


def _parts(cell: str) -> tuple[str, str, str]:
    parts = cell.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        msg = f"{cell!r} names no cell. Give COMBINATION/MODEL/STRATEGY or MODEL/STRATEGY; each may have * and ?."
        raise UsageError(msg)
    combination, model, strategy = ("*", *parts)[-3:]
    return combination, model, strategy


def _matching(rows: pl.LazyFrame, wanted: Iterable[tuple[str, str, str]]) -> pl.DataFrame:
    """The rows of the cells that are wanted. Names are few, so that globs are held against each once."""
    wanted = list(wanted)
    of = [
        row
        for row in rows.select(_NAMED).unique().collect().iter_rows()
        if any(all(fnmatchcase(part, glob) for part, glob in zip(row, globs, strict=True)) for globs in wanted)
    ]
    named = pl.DataFrame(of, schema=dict.fromkeys(_NAMED, pl.String), orient="row")
    # By single columns first: groups of rows that cannot have such a name are not read.
    some = [pl.col(name).is_in(named[name].unique().to_list()) for name in _NAMED]
    return rows.filter(some).collect().join(named, on=_NAMED, how="semi", maintain_order="left")
