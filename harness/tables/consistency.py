"""Whether a table that was read can be of one run: its rows, each in itself and beside the others, and its locks."""

from __future__ import annotations

import hashlib

from harness.bench.consistency import contradictions
from harness.bench.errors import UsageError
from harness.tables.layout import RUN, lock_file
from harness.tables.schema import Table


def check_table(table: Table, *, cells: str, remedy: str) -> None:
    """Raise `UsageError` where a row cannot be of the table's run, is there twice or contradicts itself.

    The same where a lock beside them is not the run's. `cells` names the file of the rows in messages.
    """
    seen: dict[tuple[str, str, str], int] = {}
    extensions = {"", table.run.extension, *table.run.extensions}
    for number, record in enumerate(table.records, start=1):
        where = f"{cells}: row {number} (line {number + 1})"
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
    _check_locks(table, remedy=remedy)


def _check_locks(table: Table, *, remedy: str) -> None:
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
