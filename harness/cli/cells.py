"""Cells as the command line names them, `COMBINATION/MODEL/STRATEGY`, and where they were recorded."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from harness.attempts import details
from harness.bench.definitions import TIERS
from harness.bench.errors import HarnessError, UsageError, unknown
from harness.bench.record import Record
from harness.bench.series import series_of
from harness.cli.context import root_of, shown
from harness.cli.reading import TABLE_OPTIONS, locks_of, read
from harness.cli.storing import RESULTS
from harness.matrix.places import OWN
from harness.tables.decoding import read_json
from harness.tables.finding import Locks, is_path, read_path
from harness.tables.layout import RUN, is_hidden
from harness.tables.reading import REMEDY, read_table
from harness.tables.schema import Table

CELL_HELP = "CELL is COMBINATION/MODEL/STRATEGY as `harness plan` prints it, or the same after the folder of a table."


class FoundCell(NamedTuple):
    """A cell, the table that it was found in, and the JSON file with all that was recorded of it.

    `details` is None where only the row is there: the table was made on another machine, or its details have gone.
    """

    table: Table
    record: Record
    details: Path | None


def cell_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which table a cell is read from: those of `harness show` that choose one."""
    for option in reversed(TABLE_OPTIONS):
        command = option(command)
    return command


def find_cell(
    context: click.Context,
    text: str,
    *,
    tier: str = TIERS[0],
    device: str = "auto",
    extensions: bool = False,
    models: Sequence[str] = (),
    results: Path | None = None,
) -> FoundCell:
    """The cell that `text` names, from the table that its combination's name stands for, or from a table's folder.

    A cell that this table has not is looked for in the newest of the combination's other tables: those of runs with
    extensions, of models of a user's own, and of selected cells.
    Raises `UsageError` where there is no such cell, with the nearest that there is.
    """
    reference, model, strategy = _parts(text)
    root = root_of(context)
    if is_path(reference):
        return _in(root, read_path(reference), model, strategy, text)
    why: HarnessError | None = None
    known: list[str] = []
    try:
        read_ = read(
            context, reference, tier=tier, device=device, extensions=extensions, models=models, results=results
        )
    except HarnessError as error:
        why = error
    else:
        table = read_.tables[0]
        if found := _found(root, table, model, strategy):
            return found
        known = [record.cell_id for record in table.records]
    for folder in _others(context, reference, tier, device, extensions=extensions, models=models, results=results):
        table = read_table(folder)
        if found := _found(root, table, model, strategy):
            return found
        known += [record.cell_id for record in table.records]
    if why is not None and not known:
        raise why
    msg = f"{unknown('cell', text, known)} `harness plan {shlex.quote(reference)}` prints those that a run would have."
    raise UsageError(msg)


def _parts(text: str) -> tuple[str, str, str]:
    parts = text.rsplit("/", 2)
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - reference, model, strategy
        msg = f"{text!r} names no cell. {CELL_HELP}"
        raise UsageError(msg)
    return parts[0], parts[1], parts[2]


def _in(root: Path, table: Table, model: str, strategy: str, text: str) -> FoundCell:
    found = _found(root, table, model, strategy)
    if found is None:
        known = [f"{text.rsplit('/', 2)[0]}/{record.model}/{record.strategy}" for record in table.records]
        raise UsageError(unknown("cell", text, known))
    return found


def _found(root: Path, table: Table, model: str, strategy: str) -> FoundCell | None:
    for record in table.records:
        if (record.model, record.strategy) == (model, strategy):
            return FoundCell(table, record, details.record_file(root, table.run, model, strategy))
    return None


def _others(
    context: click.Context,
    reference: str,
    tier: str,
    device: str,
    *,
    extensions: bool,
    models: Sequence[str],
    results: Path | None,
) -> Iterator[Path]:
    """The folders of the other tables of a combination's lock as it is now, the newest first."""
    root = root_of(context)
    series = series_of(models, root=root)
    locks = locks_of(root, reference, extensions=True)
    stores = (results or root / RESULTS, root / OWN / "scratch")
    files = {file for store in stores for file in store.glob(f"{glob.escape(reference)}/*/*/{RUN}")}
    for file in sorted(files, key=lambda each: each.parent.name, reverse=True):
        if is_hidden(file.parent):
            continue
        stated = read_json(file, where=str(file), remedy=REMEDY)
        if not isinstance(stated, dict) or not _fits(stated, locks):
            continue
        wanted = stated.get("tier") == tier and device in ("auto", stated.get("device"))
        if wanted and (not extensions or stated.get("extensions")) and (not models or stated.get("models") == series):
            yield file.parent


def _fits(stated: dict[str, Any], locks: Locks | None) -> bool:
    return locks is None or locks.fit(stated)


def cell_command(context: click.Context, command: str, table: Table, record: Record, *options: str) -> str:
    """`harness COMMAND CELL`, as it can be typed here, of a cell in a table that was read: it names the table's folder.

    `options` are words that follow.
    """
    assert table.folder is not None, "the table was read from a folder"
    given: Path | None = context.obj
    words = ["harness", *(["--root", str(given)] if given else [])]
    return shlex.join([*words, command, f"{shown(table.folder)}/{record.model}/{record.strategy}", *options])
