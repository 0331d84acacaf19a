"""Reading one table."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.tables.collection import no_collection
from harness.tables.consistency import check_locks, check_table
from harness.tables.decoding import check_device, check_tier, decode, moment, read_json
from harness.tables.ingredients import Ingredients, read_ingredients
from harness.tables.launches import Launch
from harness.tables.layout import CELLS, IDENTITY, LAUNCHES, NATIVE, RUN, extension_of, is_hidden
from harness.tables.migration import MIGRATIONS, WITH_LAUNCHES, Migration, RawTable, migrate, version_of
from harness.tables.natives import Native, read_natives
from harness.tables.rows import parse_rows, split_rows
from harness.tables.schema import SCHEMA_VERSION, Run, Table

REMEDY = "Restore the table from git, or make it again with `harness run`."
LARGE_BYTES = 2**20
"""From this size on it pays to load Polars for the rows of a table."""

_NATIVE_REMEDY = (
    f"Restore it from git, or move {NATIVE} away: the table is then compared without what PyTorch itself computed."
)
_IDENTITY_REMEDY = f"Restore it from git, or move {IDENTITY} away: none of the table's cells is carried over then."


def read_table(
    folder: Path, *, migrations: Mapping[int, Migration] = MIGRATIONS, large_bytes: float = LARGE_BYTES
) -> Table:
    """The table in `folder`; older schemas are migrated, launches, native outputs and locks read where they are there.

    Native outputs, locks and what had a say in cells may be missing; launches only where no row has a latency, or the
    schema knew of none.
    Raises `UsageError` where a file is missing, cut short, of a newer schema, or holds a wrong value or a row that
    contradicts itself: it says which file, what is wrong there, and what to do. From `large_bytes` of rows on, a table
    is read by columns, which is faster and comes to the same.
    """
    if not folder.is_dir():
        msg = f"{folder}: no such table folder. `harness run` makes tables under results/."
        raise UsageError(msg)
    run_where = str(folder / RUN)
    if not (folder / RUN).is_file():
        raise UsageError(_no_table(folder))
    stated = read_json(folder / RUN, where=run_where, remedy=REMEDY)
    version = version_of(stated, where=run_where)
    with no_collection():
        table = _by_columns(folder, stated) if version == SCHEMA_VERSION and _bytes_of(folder) >= large_bytes else None
        return table or _by_rows(folder, stated, version, migrations)


def _bytes_of(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in (folder / CELLS, folder / LAUNCHES) if path.is_file())
    except OSError:
        return 0


def _by_columns(folder: Path, stated: object) -> Table | None:
    """A large table of the schema of today; None where it has to be looked at row by row."""
    from harness.tables import bulk

    try:
        cells = (folder / CELLS).read_bytes()
        launched = (folder / LAUNCHES).read_bytes() if (folder / LAUNCHES).exists() else None
    except OSError:
        return None
    columns = bulk.parse(cells, launched)
    if columns is None:
        return None
    run = decode_run(stated, where=str(folder / RUN))
    rows = bulk.rows(columns, run)
    if rows is None:
        return None
    records, launches = rows
    table = Table(
        run=run,
        records=records,
        natives=_read_natives(folder),
        launches=launches,
        locks=_read_locks(folder),
        ingredients=_read_ingredients(folder),
        folder=folder,
    )
    check_locks(table, remedy=REMEDY)
    return table


def _by_rows(folder: Path, stated: Any, version: int, migrations: Mapping[int, Migration]) -> Table:
    run_where, cells_where = str(folder / RUN), str(folder / CELLS)
    header, rows = _read_rows(folder / CELLS)
    launch_header, launch_rows = _read_rows(folder / LAUNCHES) if (folder / LAUNCHES).exists() else ((), ())
    raw = RawTable(run=stated, header=header, rows=rows, launch_header=launch_header, launch_rows=launch_rows)
    raw = migrate(raw, where=run_where, migrations=migrations)
    run = decode_run(raw.run, where=run_where)
    if len(raw.rows) != run.recorded:
        what = "cut short" if len(raw.rows) < run.recorded else "not of this run"
        msg = f"{cells_where}: {what}, {len(raw.rows)} rows where {RUN} says {run.recorded} were recorded. {REMEDY}"
        raise UsageError(msg)
    records = parse_rows(Record, raw.header, raw.rows, where=cells_where, remedy=REMEDY)
    natives = _read_natives(folder)
    launches: tuple[Launch, ...] = ()
    if (folder / LAUNCHES).exists():
        where = str(folder / LAUNCHES)
        launches = parse_rows(Launch, raw.launch_header, raw.launch_rows, where=where, remedy=REMEDY)
    table = Table(
        run=run,
        records=records,
        natives=natives,
        launches=launches,
        locks=_read_locks(folder),
        ingredients=_read_ingredients(folder),
        folder=folder,
    )
    check_table(table, with_launches=version >= WITH_LAUNCHES, folder=folder, remedy=REMEDY)
    return table


def _read_natives(folder: Path) -> dict[str, Native]:
    return read_natives(folder / NATIVE, remedy=_NATIVE_REMEDY) if (folder / NATIVE).exists() else {}


def _read_ingredients(folder: Path) -> dict[str, Ingredients]:
    return read_ingredients(folder / IDENTITY, remedy=_IDENTITY_REMEDY) if (folder / IDENTITY).exists() else {}


def _read_rows(path: Path) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    header, rows = split_rows(_read_text(path), where=str(path), remedy=REMEDY)
    return tuple(header), tuple(tuple(row) for row in rows)


def _read_locks(folder: Path) -> dict[str, str]:
    named = ((extension_of(path.name), path) for path in sorted(folder.iterdir()))
    return {extension: _read_text(path) for extension, path in named if extension is not None}


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
            f"complete {str(run.complete).lower()} do not add up. {REMEDY}"
        )
        raise UsageError(msg)
    return run


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        msg = f"{path}: no such file, and {RUN} beside it says there is one. {REMEDY}"
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}). {REMEDY}"
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8 at byte {error.start}. {REMEDY}"
    raise UsageError(msg)


def _no_table(folder: Path) -> str:
    # A combination's folder and a device's are what people name by mistake; deeper could be a whole disk.
    found: list[Path] = []
    # Folders around may go while they are looked into.
    with contextlib.suppress(OSError):
        found += (path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{RUN}"))
    tables = sorted(path for path in found if not is_hidden(path))
    if tables:
        return f"{folder}: no {RUN} in it, so it is no table's folder. Did you mean {tables[-1]}?"
    return f"{folder}: no {RUN} in it, so it is no table's folder. {REMEDY}"
