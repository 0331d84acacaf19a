"""`harness explain`: all that was recorded of one cell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.attempts import details
from harness.bench.record import Record
from harness.cli.cells import FoundCell, cell_command, cell_options, find_cell
from harness.cli.context import new_console, root_of, shown
from harness.report.next_steps import mend_pins
from harness.report.recorded import Recorded, print_recorded
from harness.reproducing.making import nothing_to_show
from harness.tables.schema import Table
from harness.verdict.comparison import NOT_INSTALLED

_NOTHING_RAN = "Its environment could not be had, so that nothing ran: there is no traceback, log or artifact of it."


@click.command(short_help="Print all that was recorded of one cell.")
@click.argument("cell")
@click.option("--whole", is_flag=True, help="The whole traceback and log, and not only their ends.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@cell_options
@click.pass_context
def explain(context: click.Context, /, cell: str, whole: bool, as_json: bool, **given: Any) -> int:
    """Print all that was recorded of CELL: error, traceback, log, differences, seconds, and what it left.

    CELL is COMBINATION/MODEL/STRATEGY as `harness plan` prints it, or the same after the folder of a table. A table has
    only its rows; the rest is on the machine that made it.
    """
    told = recorded(context, find_cell(context, cell, **given))
    if as_json:
        click.echo(json.dumps(told.to_json(), indent=1))
    else:
        print_recorded(new_console(), told, whole=whole)
    return 0


def recorded(context: click.Context, found: FoundCell) -> Recorded:
    """What is known of a cell that was found."""
    root, table, record = root_of(context), found.table, found.record
    kept = details.kept_folder(root, table.run, record.model, record.strategy, record=record)
    samples = details.samples_file(root, table.run, record)
    again = cell_command(context, "rerun", table, record, "--keep", _folder_name(record))
    return Recorded(
        table=replace(table, folder=shown(table.folder)) if table.folder else table,
        record=record,
        details=json.loads(found.details.read_text(encoding="utf-8"))["details"] if found.details else None,
        details_file=shown(found.details) if found.details else None,
        kept=shown(kept) if kept.is_dir() else None,
        samples=shown(samples) if samples else None,
        alike=alike(table, record),
        following=_following(context, table, record, again),
        only_the_row=_NOTHING_RAN
        if record.stage in NOT_INSTALLED
        else (
            "Traceback, log, seconds and artifact stay on the machine that made the table, as long as there is room, "
            f"and are not in it. `{again}` makes them here."
        ),
    )


def alike(table: Table, record: Record) -> list[str]:
    """The ids of the other cells of a table with a record's fingerprint."""
    if not record.fingerprint:
        return []
    return [each.cell_id for each in table.records if each.fingerprint == record.fingerprint and each != record]


def _following(context: click.Context, table: Table, record: Record, again: str) -> list[str]:
    """What can be done with the cell, as it can be typed here."""
    if record.stage in NOT_INSTALLED:  # it never began, and would not now
        return [mend_pins(table, record.extension)]
    commands = [again, cell_command(context, "open", table, record)]
    if record.outcome.broken and not nothing_to_show(record):
        commands.insert(1, cell_command(context, "reproduce", table, record))
    return commands


def _folder_name(record: Record) -> str:
    """A folder for what a rerun leaves, where nothing is yet."""
    stem = f"{record.model}-{record.strategy}".replace(":", "-")
    return next(name for name in (stem, *(f"{stem}-{i}" for i in range(2, 1000))) if not Path(name).exists())
