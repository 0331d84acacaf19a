"""Reading one table, and finding the table that a combination's name stands for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.bench.errors import UsageError, unknown
from harness.tables.cells import parse_cells, split_cells
from harness.tables.decoding import check_device, check_tier, decode, moment, read_json
from harness.tables.layout import CELLS, NATIVE, RUN, is_hidden, series_folder
from harness.tables.migration import MIGRATIONS, Migration, RawTable, migrate, version_of
from harness.tables.natives import read_natives
from harness.tables.schema import Run, Table

_REMEDY = "Restore the table from git, or make it again with `harness run`."
_NATIVE_REMEDY = (
    f"Restore it from git, or move {NATIVE} away: the table is then compared without what PyTorch itself computed."
)


def read_table(folder: Path, *, migrations: Mapping[int, Migration] = MIGRATIONS) -> Table:
    """The table in `folder`; older schemas are migrated, and native outputs are read where they are there.

    Raises `UsageError` where a file is missing, cut short, of a newer schema, or holds a wrong value: it says which
    file, what is wrong there, and what to do.
    """
    if not folder.is_dir():
        msg = f"{folder}: no such table folder. `harness run` makes tables under results/."
        raise UsageError(msg)
    run_where, cells_where = str(folder / RUN), str(folder / CELLS)
    if not (folder / RUN).is_file():
        raise UsageError(_no_table(folder))
    stated = read_json(folder / RUN, where=run_where, remedy=_REMEDY)
    version_of(stated, where=run_where)
    header, rows = split_cells(_read_text(folder / CELLS), where=cells_where, remedy=_REMEDY)
    raw = RawTable(run=stated, header=tuple(header), rows=tuple(tuple(row) for row in rows))
    raw = migrate(raw, where=run_where, migrations=migrations)
    run = decode_run(raw.run, where=run_where)
    if len(raw.rows) != run.recorded:
        what = "cut short" if len(raw.rows) < run.recorded else "not of this run"
        msg = f"{cells_where}: {what}, {len(raw.rows)} rows where {RUN} says {run.recorded} were recorded. {_REMEDY}"
        raise UsageError(msg)
    records = parse_cells(raw.header, raw.rows, where=cells_where, remedy=_REMEDY)
    natives = read_natives(folder / NATIVE, remedy=_NATIVE_REMEDY) if (folder / NATIVE).exists() else {}
    table = Table(run=run, records=records, natives=natives, folder=folder)
    _check(table, where=cells_where)
    return table


def decode_run(value: object, *, where: str) -> Run:
    """`run.json`, parsed, as a `Run`. Raises `UsageError` with the path to the first wrong key."""
    run = decode(Run, value, where=where)
    check_device(run.device)
    check_tier(run.tier)
    moment(run.started, where=where, key="started")
    if run.ended is not None:
        moment(run.ended, where=where, key="ended")
    if run.planned != run.recorded + len(run.missing) or run.complete != (not run.missing):
        msg = (
            f"{where}: planned {run.planned}, recorded {run.recorded}, {len(run.missing)} missing and "
            f"complete {str(run.complete).lower()} do not add up. {_REMEDY}"
        )
        raise UsageError(msg)
    return run


def find_table(results_root: Path, reference: str, *, tier: str, device: str) -> Table:
    """The table that `reference` stands for.

    `reference` is the path to a table's folder (or to a file in it), or a combination's name: that stands for its
    newest complete table of `tier` and `device` under `results_root` that is not of selected cells.
    Raises `UsageError` where there is none, with the nearest name and what to run.
    """
    check_device(device)
    check_tier(tier)
    path = Path(reference)
    if path.name in (RUN, CELLS, NATIVE):
        return read_table(path.parent)
    if os.sep in reference or reference in ("", ".", "..") or (path / RUN).is_file():
        return read_table(path)
    series = series_folder(results_root, combination=reference, device=device, tier=tier)
    command = f"`harness run {reference} --tier {tier} --device {device}`"
    if not _subfolders(results_root / reference):
        names = [folder.name for folder in _subfolders(results_root)]
        there = unknown("combination", reference, names)
        msg = f"no table of {reference!r} under {results_root}: {there} Make one with {command}, or name a folder."
        raise UsageError(msg)
    if not _subfolders(series):
        others = ", ".join(folder.name for folder in _subfolders(results_root / reference))
        msg = f"no table of {reference!r} for {device}-{tier} under {results_root}, only {others}. Run {command}."
        raise UsageError(msg)
    skipped = []
    for folder in sorted(_subfolders(series), reverse=True):
        where = str(folder / RUN)
        stated = read_json(folder / RUN, where=where, remedy=_REMEDY)
        version_of(stated, where=where)
        if stated.get("complete") is True and stated.get("selected") is False:
            return read_table(folder)
        why = "is of selected cells" if stated.get("selected") else "is not complete"
        skipped.append(f"{folder.name} {why}")
    msg = (
        f"no complete table of {reference!r} for {device}-{tier}: {', '.join(skipped)}. "
        f"Run {command}, or name the folder {series / skipped[0].split()[0]} to use it all the same."
    )
    raise UsageError(msg)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        msg = f"{path}: no such file, and {RUN} beside it says there is one. {_REMEDY}"
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}). {_REMEDY}"
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8 at byte {error.start}. {_REMEDY}"
    raise UsageError(msg)


def _check(table: Table, *, where: str) -> None:
    """Raise `UsageError` where a row is not of the table's run, or is there twice."""
    seen: dict[tuple[str, str, str], int] = {}
    for number, record in enumerate(table.records, start=1):
        for name in ("combination", "device", "tier"):
            if getattr(record, name) != getattr(table.run, name):
                msg = (
                    f"{where}: row {number} (line {number + 1}), column '{name}': {getattr(record, name)!r}, "
                    f"and {RUN} says {getattr(table.run, name)!r}. {_REMEDY}"
                )
                raise UsageError(msg)
        first = seen.setdefault(record.cell, number)
        if first != number:
            msg = f"{where}: row {number} (line {number + 1}) repeats the cell of row {first}. {_REMEDY}"
            raise UsageError(msg)


def _no_table(folder: Path) -> str:
    # A combination's folder and a device's are what people name by mistake; deeper could be a whole disk.
    found = [path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{RUN}")]
    tables = sorted(path for path in found if not is_hidden(path))
    if tables:
        return f"{folder}: no {RUN} in it, so it is no table's folder. Did you mean {tables[-1]}?"
    return f"{folder}: no {RUN} in it, so it is no table's folder. {_REMEDY}"


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path))
