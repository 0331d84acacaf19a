"""`harness history`: what became of cells from run to run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.bench.errors import UsageError
from harness.cli.context import new_console, root_of, say, shown
from harness.cli.storing import RESULTS
from harness.matrix.places import OWN
from harness.report.histories import histories, to_json
from harness.report.timeline import print_histories
from harness.verdict.changepoints import not_told

_FEW = 4
"""Cells of which each run is shown unless asked otherwise."""


@click.command("history", short_help="What became of cells from run to run.")
@click.argument("cells", nargs=-1, required=True, metavar="CELL...")
@click.option(
    "--runs/--no-runs",
    "by_run",
    default=None,
    help=f"A line for each run of each cell, or one line a cell. Of at most {_FEW} cells each run has one by itself.",
)
@click.option("--device", type=click.Choice(("cpu", "cuda")), help="Only cells that were served there.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.pass_context
def history_command(
    context: click.Context,
    cells: tuple[str, ...],
    by_run: bool | None,
    device: str | None,
    as_json: bool,
    results: Path | None,
) -> int:
    """Follow cells from run to run: outcome, cause, latency, memory, and what had moved.

    CELL is COMBINATION/MODEL/STRATEGY, or MODEL/STRATEGY of all combinations; each part may have * and ?. Latency and
    memory have sparklines, a machine each, with the change points in them.

    Exits with 2 where a table could not be read, or no cell has such a name.
    """
    # Loads Polars.
    from harness.tables.history import history

    root = root_of(context)
    store = results or root / RESULTS
    past = history(store, cells, cache=root / OWN / "history")
    told = [each for each in histories(past) if device in (None, each.device)]
    unread = {str(shown(folder)): why for folder, why in past.unread.items()}
    if as_json:
        click.echo(json.dumps(to_json(told, unread), indent=1))
    elif told:
        print_histories(new_console(), told, by_run=len(told) <= _FEW if by_run is None else by_run)
        if why := not_told():
            say(f"\n{why}")
    if unread:
        rest = "\n".join(f"  {folder}: {why}" for folder, why in unread.items())
        msg = f"tables that could not be read are not in it:\n{rest}"
        raise UsageError(msg)
    if not told:
        where = f"no table below {shown(store)} has a cell {' or '.join(cells)}{f' on {device}' if device else ''}"
        msg = f"{where}. `harness show COMBINATION` shows which there are."
        raise UsageError(msg)
    return 0
