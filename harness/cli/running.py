"""`harness plan`, `harness run` and `harness ingest`: cells to tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness.bench.errors import UsageError
from harness.cli.context import new_console, root_of, selection_options, shown
from harness.cli.exits import COULD_NOT_TELL, told
from harness.matrix import combination as combinations
from harness.matrix import environment, locks, matrixfile, running
from harness.matrix.selection import Selection
from harness.report import terminal
from harness.report.live import RunDisplay
from harness.tables.ingest import ingest, merge
from harness.tables.writing import write_table

AMBIENT = "ambient"


def select(root: Path, names: Sequence[str], matrix: Path | None, **given: Any) -> tuple[list[str], list[Selection]]:
    """Combinations and one selection a device: what the command line says, and the matrix file where it is silent."""
    known = combinations.names(root)
    file = matrixfile.read(matrix or root / "matrices" / "nightly.toml", known=None if names else known)
    for name in names:
        combinations.read(root, name)
    selections = [
        Selection(
            tier=given["tier"] or file.tier,
            device=device,
            models=given["models"] or file.models,
            strategies=given["strategies"] or file.strategies,
            plugins=given["plugins"],
            policy=file.policy.policy(),
            extensions=given["extensions"] or file.extensions,
        )
        for device in ([given["device"]] if given["device"] else file.devices)
    ]
    return list(dict.fromkeys(names or file.combinations)), selections


@click.command()
@click.argument("names", nargs=-1, metavar="[COMBINATION]...")
@selection_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
@told
def plan(context: click.Context, names: tuple[str, ...], matrix: Path | None, as_json: bool, **given: Any) -> int:
    """Print the cells that `harness run` would run."""
    chosen, selections = select(root_of(context), names, matrix, **given)
    root = root_of(context)
    plans = [plan for selection in selections for name in chosen for plan in selection.plans(name, root)]
    cells = [cell for each in plans for cell in each.cells]
    if as_json:
        rows = [{"id": cell.id, **asdict(cell)} for cell in cells]
        click.echo(json.dumps(rows, indent=1))
    else:
        for cell in cells:
            click.echo(cell.id)
    return 0


@click.command()
@click.argument("names", nargs=-1, metavar="[COMBINATION]...")
@selection_options
@click.option("--python", "interpreter", type=click.Path(path_type=Path), help="Run in this interpreter's environment.")
@click.option("--name", default=AMBIENT, show_default=True, help="What to call that environment.")
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.option("--fresh", is_flag=True, help="Start a fresh process for each cell instead of forking a warm one.")
@click.option("--restart", is_flag=True, help="Do not go on with an interrupted run; begin anew.")
@click.pass_context
@told
def run(
    context: click.Context,
    names: tuple[str, ...],
    matrix: Path | None,
    interpreter: Path | None,
    name: str,
    results: Path | None,
    fresh: bool,
    restart: bool,
    **given: Any,
) -> int:
    """Install combinations through tox, run their cells, and write their tables.

    A run of the whole tier becomes the combination's newest table; a run of selected cells goes to .harness/scratch.
    A broken model is a result: the exit code is 0 where every planned cell was recorded.
    """
    root = root_of(context)
    if interpreter is not None and names:
        msg = f"--python runs the environment as it is; leave out {', '.join(names)}, or leave out --python."
        raise UsageError(msg)
    chosen, selections = select(root, names, matrix, **given)
    console = new_console()
    if interpreter is not None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
            msg = f"--name {name!r} cannot name a folder of results. Use letters, digits, dots and hyphens."
            raise UsageError(msg)
        if name in combinations.names(root):
            msg = f"--name {name!r} is a combination's; its tables are of its lock. Choose another name."
            raise UsageError(msg)
        ready = environment.check_ambient(root, interpreter.absolute())
        jobs = [
            [running.Ready(plan, ready.python, {}) for plan in selection.plans(name, None)] for selection in selections
        ]
        return _run_all(root, lambda _: iter(jobs), results, console, fresh=fresh, restart=restart)
    plans = [[selection.plans(each, root) for selection in selections] for each in chosen]
    sources = _sources(
        root, {combinations.extended(p.combination, p.extension) for each in plans for ps in each for p in ps}
    )
    environment.require_pythons({name: each.python for name, (each, found) in sources.items() if not found.reason})

    def jobs_of(display: RunDisplay) -> Iterator[list[running.Ready]]:
        for group in (ps for each in plans for ps in each):
            pairs = [(p, sources.get(combinations.extended(p.combination, p.extension), (None, None))) for p in group]
            yield [running.prepare(root, p, source, found, display) for p, (source, found) in pairs]

    return _run_all(root, jobs_of, results, console, fresh=fresh, restart=restart)


def _sources(root: Path, names: set[str]) -> dict[str, tuple[combinations.Combination, locks.Lock]]:
    """The combinations and extensions called `names` with their locks; an extension that does not exist is left out."""
    found = {}
    for name in sorted(names):
        base, _, extension = name.partition(combinations.EXTENDS)
        if not extension or extension in combinations.extensions(root, base):
            each = combinations.read(root, name)
            found[name] = (each, locks.read_lock(root, each))
    return found


def _run_all(
    root: Path,
    jobs: Callable[[RunDisplay], Iterable[Sequence[running.Ready]]],
    results: Path | None,
    console: Console,
    *,
    fresh: bool,
    restart: bool,
) -> int:
    """Run job after job, writing each table as it is done."""
    incomplete, scratch = False, []
    with RunDisplay(console) as display:
        for job in jobs(display):
            table = merge([running.run(root, each, display, fresh=fresh, keep=not restart) for each in job])
            store = root / ".harness" / "scratch" if table.run.selected else results or root / "results"
            folder = write_table(store, table)
            if table.run.complete:
                running.settle(root, job)
            terminal.print_grid(console, table)
            console.print(f"\nTable: {shown(folder)}\n", markup=False, soft_wrap=True)
            incomplete = incomplete or not table.run.complete
            scratch += [str(shown(folder))] if table.run.selected else []
    if len(scratch) > 1:
        console.print(f"Compare: harness gate {scratch[0]} {scratch[-1]}", markup=False, soft_wrap=True)
    if incomplete:
        click.echo("harness: not every planned cell was recorded. Run the same command again to go on.", err=True)
    return COULD_NOT_TELL if incomplete else 0


@click.command("ingest")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.pass_context
@told
def ingest_command(context: click.Context, folder: Path, results: Path | None) -> int:
    """Make the table of a folder that the bench wrote with --out."""
    root = root_of(context)
    first = ingest(folder, pins={})
    known = first.run.combination in combinations.names(root)
    table = ingest(folder, pins=combinations.read(root, first.run.combination).pins) if known else first
    if known and table.run.lock_digest != locks.read_lock(root, combinations.read(root, table.run.combination)).digest:
        msg = (
            f"{folder} says that it is of {table.run.combination}, and was not run from that combination's own lock. "
            "Run the bench with another --combination, or let `harness run` make the table."
        )
        raise UsageError(msg)
    store = root / ".harness" / "scratch" if table.run.selected else results or root / "results"
    written = write_table(store, table)
    console = new_console()
    terminal.print_grid(console, table)
    console.print(f"\nTable: {shown(written)}", markup=False, soft_wrap=True)
    return 0 if table.run.complete else COULD_NOT_TELL
