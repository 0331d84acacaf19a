"""Whether a table that was read can be of one run: its rows, its launches and its locks."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.bench.consistency import contradictions
from harness.bench.errors import UsageError
from harness.bench.stages import Outcome
from harness.tables.decoding import moment
from harness.tables.launches import Launch, cell_contradictions, launch_contradictions
from harness.tables.layout import CELLS, LAUNCHES, RUN, lock_file
from harness.tables.rows import row_name
from harness.tables.schema import Table


def check_table(table: Table, *, with_launches: bool, folder: Path, remedy: str) -> None:
    """Raise `UsageError` where a row cannot be of the table's run, is there twice or contradicts itself.

    The same where launches do not make the latencies of the rows, and where a lock beside them is not the run's.
    `with_launches` says whether there have to be launches; tables of older schemas kept none. `folder` is where the
    files are that messages name.
    """
    seen: dict[tuple[str, str, str], int] = {}
    extensions = {"", table.run.extension, *table.run.extensions}
    for number, record in enumerate(table.records, start=1):
        where = f"{folder / CELLS}: {row_name(number)}"
        for name in ("combination", "device", "tier"):
            if getattr(record, name) != getattr(table.run, name):
                msg = (
                    f"{where}, column '{name}': {getattr(record, name)!r}, "
                    f"and {RUN} says {getattr(table.run, name)!r}. {remedy}"
                )
                raise UsageError(msg)
        if record.extension not in extensions:
            msg = f"{where}, column 'extension': {record.extension!r}, and {RUN} knows no such extension. {remedy}"
            raise UsageError(msg)
        first = seen.setdefault(record.cell, number)
        if first != number:
            msg = f"{where} repeats the cell of row {first}. {remedy}"
            raise UsageError(msg)
        if found := contradictions(record):
            msg = f"{where}, {record.model}/{record.strategy}, contradicts itself: {'; '.join(found)}. {remedy}"
            raise UsageError(msg)
    _check_carried(table, folder=folder, remedy=remedy)
    if with_launches or table.launches:
        _check_launches(table, folder=folder, remedy=remedy)
    check_locks(table, remedy=remedy)


def _check_carried(table: Table, *, folder: Path, remedy: str) -> None:
    """Raise `UsageError` where rows are not carried over as the run says."""
    carried = [(number, r.carried_from) for number, r in enumerate(table.records, start=1) if r.carried_from]
    for number, seen in carried:
        moment(str(seen), where=f"{folder / CELLS}: {row_name(number)}", key="carried_from")
    if len(carried) != table.run.carried:
        msg = f"{folder / CELLS}: {len(carried)} rows were carried over, and {RUN} says {table.run.carried}. {remedy}"
        raise UsageError(msg)


def _check_launches(table: Table, *, folder: Path, remedy: str) -> None:
    """Hold the launches of a table against its rows: every one with a latency has its own there."""
    where = str(folder / LAUNCHES)
    records = table.by_cell()
    first: dict[tuple[str, str, str], int] = {}
    of_cell: dict[tuple[str, str, str], list[Launch]] = {}
    for number, launch in enumerate(table.launches, start=1):
        record = records.get(launch.cell)
        name = f"{launch.model}/{launch.strategy}"
        if record is None or record.extension != launch.extension:
            of = f" of the extension {launch.extension!r}" if launch.extension else ""
            said = f"{where}: {row_name(number)} is of {name} on {launch.device}"
            msg = f"{said}, and {CELLS} has no such cell{of}. {remedy}"
            raise UsageError(msg)
        first.setdefault(launch.cell, number)
        of_cell.setdefault(launch.cell, []).append(launch)
        found = launch_contradictions(launch)
        if launch.launch != len(of_cell[launch.cell]) - 1:
            found.append(f"'launch' is {launch.launch}, and it is number {len(of_cell[launch.cell]) - 1} of its cell")
        if found:
            msg = f"{where}: {row_name(number)}, {name}, contradicts itself: {'; '.join(found)}. {remedy}"
            raise UsageError(msg)
    for cell, record in records.items():
        if record.latency_ms is None:
            # One that broke while it was timed keeps the launches that came before.
            if record.outcome is Outcome.PASSED and cell in of_cell:
                said = f"{where}: {row_name(first[cell])} is of {record.model}/{record.strategy}, which passed, "
                msg = f"{said}and {CELLS} has no latency of it. {remedy}"
                raise UsageError(msg)
            continue
        if cell not in of_cell:
            msg = f"{where}: no launch of {record.model}/{record.strategy}, and {CELLS} has a latency of it. {remedy}"
            raise UsageError(msg)
        if found := cell_contradictions(record, of_cell[cell]):
            said = f"{where}: from {row_name(first[cell])} on, the launches of {record.model}/{record.strategy} do not "
            msg = f"{said}make what {CELLS} says: {'; '.join(found)}. {remedy}"
            raise UsageError(msg)


def check_locks(table: Table, *, remedy: str) -> None:
    """Raise `UsageError` where a lock beside a table is not the run's."""
    run = table.run
    stated = {run.extension: run.lock_digest, **{name: each.lock_digest for name, each in run.extensions.items()}}
    for extension, text in table.locks.items():
        name = lock_file(extension)
        if extension not in stated:
            msg = f"{table.folder}: {name} is of an extension that {RUN} does not know. {remedy}"
            raise UsageError(msg)
        digest = lock_digest(text)
        if stated[extension] and digest != stated[extension]:
            msg = f"{table.folder}: {name} has the digest {digest}, and {RUN} says {stated[extension]}. {remedy}"
            raise UsageError(msg)


def lock_digest(text: str) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a lock, whose lines end in LF."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode("utf-8")).hexdigest()[:16]
