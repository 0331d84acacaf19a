"""The `harness` command."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness import __version__
from harness.bench import gpu
from harness.bench.definitions import TIERS
from harness.bench.errors import UsageError
from harness.matrix import combination as combinations
from harness.matrix import environment, locks, matrixfile, running, template
from harness.matrix.selection import Selection
from harness.report import markdown, terminal
from harness.report.live import RunDisplay
from harness.tables.ingest import ingest, merge
from harness.tables.reading import find_table
from harness.tables.schema import Table
from harness.tables.writing import write_table
from harness.verdict.comparison import compare
from harness.verdict.gate import judge

WORSE, WRONG_USE, COULD_NOT_TELL = 1, 2, 3
AMBIENT = "ambient"


def _told(command: Callable[..., int]) -> Callable[..., None]:
    """Exit with what the command returns; errors that a person can mend are told in their terms."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except UsageError as error:
            click.echo(f"harness: {error}", err=True)
            code = WRONG_USE
        except BrokenPipeError:
            # Whoever read the output has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except KeyboardInterrupt:
            click.echo(
                "harness: interrupted. Run the same command again to go on from the last recorded cell.", err=True
            )
            code = COULD_NOT_TELL
        except Exception:  # noqa: BLE001 - a bug of ours says nothing of the models: its exit code must not be 1
            traceback.print_exc()
            click.echo("harness: this is a bug in the harness. Please report it with the lines above.", err=True)
            code = COULD_NOT_TELL
        sys.exit(code)

    return wrapper


def _console() -> Console:
    # Off a terminal, 80 columns would fold what a log or a file has room for.
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), help="The checkout, where it is not around here."
)
@click.pass_context
def cli(context: click.Context, root: Path | None) -> None:
    """Which of my models break when I move these pins, where, why, and may I merge?

    Exit codes: 0 nothing worse, 1 something is worse, 2 wrong use or unreadable input, 3 could not tell.
    """
    context.obj = root


def _root(context: click.Context) -> Path:
    given: Path | None = context.obj
    return combinations.find_root((given or Path.cwd()).resolve())


_SELECTION_OPTIONS = (
    click.option(
        "--models", multiple=True, metavar="GLOB|FILE", help="Models of the zoo, or files and folders of your own."
    ),
    click.option(
        "--strategies", multiple=True, metavar="GLOB", help="Strategies, such as 'onnx-*' or 'onnx-torchscript:13'."
    ),
    click.option("--tier", type=click.Choice(TIERS), default=None, help="How much of the zoo (quick)."),
    click.option("--device", type=click.Choice(gpu.DEVICES), default=None, help="Where artifacts are served (auto)."),
    click.option(
        "--plugin-folder",
        "plugins",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A folder with your own steps/, strategies/ and runtimes/.",
    ),
    click.option("--extensions", is_flag=True, help="Also the strategies and models that need an extension."),
    click.option("--matrix", type=click.Path(path_type=Path), help="The matrix file (matrices/nightly.toml)."),
)


def _selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_SELECTION_OPTIONS):
        command = option(command)
    return command


def _select(root: Path, names: Sequence[str], matrix: Path | None, **given: Any) -> tuple[list[str], list[Selection]]:
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


@cli.command()
@click.argument("names", nargs=-1, metavar="[COMBINATION]...")
@_selection_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
@_told
def plan(context: click.Context, names: tuple[str, ...], matrix: Path | None, as_json: bool, **given: Any) -> int:
    """Print the cells that `harness run` would run."""
    chosen, selections = _select(_root(context), names, matrix, **given)
    root = _root(context)
    plans = [plan for selection in selections for name in chosen for plan in selection.plans(name, root)]
    cells = [cell for each in plans for cell in each.cells]
    if as_json:
        rows = [{"id": cell.id, **asdict(cell)} for cell in cells]
        click.echo(json.dumps(rows, indent=1))
    else:
        for cell in cells:
            click.echo(cell.id)
    return 0


@cli.command()
@click.argument("names", nargs=-1, metavar="[COMBINATION]...")
@click.option("--upgrade", is_flag=True, help="Take the newest of everything that is not pinned.")
@click.pass_context
@_told
def lock(context: click.Context, names: tuple[str, ...], upgrade: bool) -> int:
    """Resolve combinations and their extensions with uv into matrices/locks, with hashes (all, where none is named)."""
    root = _root(context)
    wanted = [
        combinations.extended(name, extension)
        for name in names or combinations.names(root)
        for extension in ["", *([] if combinations.EXTENDS in name else combinations.extensions(root, name))]
    ]
    for each in [combinations.read(root, name) for name in wanted]:
        made = locks.lock(root, each, upgrade=upgrade)
        told = "no solution; the reason is recorded" if made.reason else "locked"
        click.echo(f"{each.name}: {told} in {made.path.relative_to(root)}")
        if made.reason:
            click.echo(f"  {made.reason}")
    return 0


@cli.command()
@click.argument("names", nargs=-1, metavar="[COMBINATION]...")
@_selection_options
@click.option("--python", "interpreter", type=click.Path(path_type=Path), help="Run in this interpreter's environment.")
@click.option("--name", default=AMBIENT, show_default=True, help="What to call that environment.")
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.option("--fresh", is_flag=True, help="Start a fresh process for each cell instead of forking a warm one.")
@click.option("--restart", is_flag=True, help="Do not go on with an interrupted run; begin anew.")
@click.pass_context
@_told
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
    root = _root(context)
    if interpreter is not None and names:
        msg = f"--python runs the environment as it is; leave out {', '.join(names)}, or leave out --python."
        raise UsageError(msg)
    chosen, selections = _select(root, names, matrix, **given)
    console = _console()
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
            console.print(f"\nTable: {_shown(folder)}\n", markup=False, soft_wrap=True)
            incomplete = incomplete or not table.run.complete
            scratch += [str(_shown(folder))] if table.run.selected else []
    if len(scratch) > 1:
        console.print(f"Compare: harness gate {scratch[0]} {scratch[-1]}", markup=False, soft_wrap=True)
    if incomplete:
        click.echo("harness: not every planned cell was recorded. Run the same command again to go on.", err=True)
    return COULD_NOT_TELL if incomplete else 0


def _shown(path: Path) -> Path:
    """A path as a person would type it from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@cli.command("ingest")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.pass_context
@_told
def ingest_command(context: click.Context, folder: Path, results: Path | None) -> int:
    """Make the table of a folder that the bench wrote with --out."""
    root = _root(context)
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
    console = _console()
    terminal.print_grid(console, table)
    console.print(f"\nTable: {_shown(written)}", markup=False, soft_wrap=True)
    return 0 if table.run.complete else COULD_NOT_TELL


_TABLE_OPTIONS = (
    click.argument("base"),
    click.argument("candidate"),
    click.option(
        "--tier", type=click.Choice(TIERS), default="quick", show_default=True, help="Which tables a name stands for."
    ),
    click.option("--device", type=click.Choice(("cpu", "cuda")), default="cpu", show_default=True),
    click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/)."),
    click.option("--markdown", "as_markdown", is_flag=True, help="As Markdown, for a pull request."),
)


def _table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_TABLE_OPTIONS):
        command = option(command)
    return command


def _tables(
    context: click.Context, base: str, candidate: str, *, tier: str, device: str, results: Path | None
) -> tuple[Table, Table]:
    store = results or _root(context) / "results"
    first, second = (find_table(store, each, tier=tier, device=device) for each in (base, candidate))
    return first, second


@cli.command()
@click.argument("table")
@click.option(
    "--tier", type=click.Choice(TIERS), default="quick", show_default=True, help="Which table a name stands for."
)
@click.option("--device", type=click.Choice(("cpu", "cuda")), default="cpu", show_default=True)
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.option("--markdown", "as_markdown", is_flag=True, help="As Markdown.")
@click.pass_context
@_told
def show(context: click.Context, table: str, as_markdown: bool, results: Path | None, **given: Any) -> int:
    """Print a table as a grid. TABLE is a combination, or the folder of a table."""
    found = find_table(results or _root(context) / "results", table, **given)
    if as_markdown:
        click.echo(markdown.grid(found), nl=False)
    else:
        terminal.print_grid(_console(), found)
    return 0


@cli.command("new-model")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("models"), show_default=True)
@_told
def new_model(name: str, folder: Path) -> int:
    """Write a model file of your own to start from; it runs as it is."""
    path = template.write(name, folder)
    click.echo(f"{path}: edit it, then run `harness run COMBINATION --models {path}`.")
    return 0


@cli.command("compare")
@_table_options
@click.pass_context
@_told
def compare_command(context: click.Context, base: str, candidate: str, as_markdown: bool, **given: Any) -> int:
    """Compare two tables, cell by cell. BASE and CANDIDATE are combinations, or folders of tables.

    Exits with 0 whatever it found; `harness gate` judges.
    """
    comparison = compare(*_tables(context, base, candidate, **given))
    if as_markdown:
        click.echo(markdown.comparison(comparison), nl=False)
    else:
        terminal.print_comparison(_console(), comparison)
    return 0


@cli.command()
@_table_options
@click.pass_context
@_told
def gate(context: click.Context, base: str, candidate: str, as_markdown: bool, **given: Any) -> int:
    """Judge whether CANDIDATE may replace BASE: 0 nothing worse, 1 something is worse, 3 could not tell."""
    comparison = compare(*_tables(context, base, candidate, **given))
    verdict = judge(comparison)
    if as_markdown:
        click.echo(markdown.comparison(comparison, verdict), nl=False)
    else:
        terminal.print_comparison(_console(), comparison, verdict)
    return verdict.exit_code


def main() -> None:
    """Entry of the `harness` command."""
    cli(prog_name="harness")


if __name__ == "__main__":
    main()
