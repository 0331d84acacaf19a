"""`harness show` and `harness compare`: what tables say."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from harness.attempts import settling
from harness.bench.definitions import TIERS
from harness.bench.errors import UsageError
from harness.bench.series import series_of
from harness.cli.context import new_console, root_of, say, shown
from harness.cli.outlets import instead, parse_outlets, send, to_option
from harness.cli.policies import expectations, foreseen_of
from harness.cli.saying import said_of_comparison, said_of_table
from harness.cli.storing import RESULTS
from harness.matrix import combination as combinations
from harness.matrix import locks
from harness.matrix.places import OWN
from harness.report import terminal
from harness.tables.consistency import lock_digest
from harness.tables.finding import Locks, Series, Unfinished, device_of, find_table, has_extended, is_path
from harness.tables.layout import RUN
from harness.tables.schema import Table
from harness.verdict.comparison import Comparison, compare

EXTENSIONS_HINT = "There are tables of runs with extensions too: --extensions reads those."

TABLE_OPTIONS = (
    click.option(
        "--tier", type=click.Choice(TIERS), default="quick", show_default=True, help="Which tables a name stands for."
    ),
    click.option(
        "--device",
        type=click.Choice(("cpu", "cuda", "auto")),
        default="auto",
        show_default=True,
        help="The same; auto is what all sides have, CUDA first.",
    ),
    click.option("--extensions", is_flag=True, help="Tables of runs with --extensions, a series of their own."),
    click.option(
        "--models",
        multiple=True,
        metavar="FILE|FOLDER",
        help="Tables of a run of your own models, named as that run named them: a series of their own.",
    ),
    click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/)."),
)
"""Which table a name stands for."""

_MARKDOWN_OPTION = click.option("--markdown", "as_markdown", is_flag=True, help="As Markdown, for a pull request.")


def table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that reads tables."""
    for option in reversed((*TABLE_OPTIONS, _MARKDOWN_OPTION)):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class Read:
    """The tables that references stand for, in their order.

    `unfinished` is what is newer than one of them and has not come to its end; `notes` what else there would be.
    """

    tables: tuple[Table, ...]
    unfinished: tuple[Unfinished, ...]
    notes: tuple[str, ...]


def read(
    context: click.Context,
    *references: str,
    tier: str,
    device: str,
    extensions: bool,
    models: Sequence[str],
    results: Path | None,
) -> Read:
    """The tables that `references`, names and paths, stand for."""
    root = root_of(context)
    store = results or root / RESULTS
    series = Series(tier=tier, device=device, extensions=extensions, models=series_of(models, root=root))
    if device == "auto":
        series = replace(series, device=device_of(store, references, series))
    tables: list[Table] = []
    unfinished: list[Unfinished] = []
    for each in references:
        wanted = locks_of(root, each, extensions=extensions)
        if not is_path(each) and not (store / each).is_dir() and (newest := _of_selected_cells(root, each)):
            msg = (
                f"no table of {each!r} under {shown(store)}: its runs were of selected cells, and no name stands for "
                f"those. Name the folder: `harness show {shlex.quote(str(shown(newest)))}` shows the newest."
            )
            raise UsageError(msg)
        found = find_table(store, each, series, locks=wanted)
        tables.append(found.table)
        unfinished += found.newer
        if not is_path(each):
            unfinished += settling.unfinished(root, each, series, after=found.table.run.started)
    hint = not extensions and all(has_extended(store, each, series) for each in references)
    return Read(tables=tuple(tables), unfinished=tuple(unfinished), notes=(EXTENSIONS_HINT,) if hint else ())


def _of_selected_cells(root: Path, name: str) -> Path | None:
    """The newest table of selected cells of a combination; None where there is none."""
    tables = (root / OWN / "scratch").glob(f"{glob.escape(name)}/*/[!.]*/{RUN}")
    return max((path.parent for path in tables), key=lambda folder: folder.name, default=None)


def locks_of(root: Path, reference: str, *, extensions: bool) -> Locks | None:
    """The locks that a combination's name stands for now, and its extensions'; None for any other name and for a path.

    Raises `UsageError` where the combination was edited and not locked again.
    """
    if is_path(reference) or reference not in combinations.known(root):
        return None
    digests = {}
    for each in ["", *(combinations.extensions(root, reference) if extensions else [])]:
        lock = locks.read_lock(root, combinations.read(root, combinations.extended(reference, each)))
        # What a table keeps of pins without a solution is the reason.
        digests[each] = lock_digest(lock.text or lock.reason)
    return Locks(own=digests.pop(""), extensions=digests)


@click.command()
@click.argument("table")
@table_options
@to_option
@click.pass_context
def show(context: click.Context, /, table: str, as_markdown: bool, to: Sequence[str], **given: Any) -> int:
    """Print a table as a grid. TABLE is a combination, or the folder of a table."""
    without = {"json": "`harness compare`, `harness gate` and `harness bump`"}
    root, wanted = root_of(context), parse_outlets(to, as_markdown=as_markdown, without=without)
    known = expectations(root)
    found = read(context, table, **given)
    foreseen = foreseen_of(found.tables[0], known)
    if not instead(wanted):
        terminal.print_grid(new_console(), found.tables[0], foreseen)
        for note in (*found.unfinished, *found.notes):
            say(f"\n{note}")
    send(wanted, lambda: said_of_table(root, found.tables[0], foreseen))
    return 0


def compared(
    context: click.Context, base: str, candidate: str, **given: Any
) -> tuple[Comparison, tuple[Unfinished, ...]]:
    """Two tables compared, and what is newer than one of them and has not come to its end."""
    found = read(context, base, candidate, **given)
    before, after = found.tables
    return compare(before, after, notes=found.notes), found.unfinished


@click.command("compare")
@click.argument("base")
@click.argument("candidate")
@table_options
@to_option
@click.pass_context
def compare_command(
    context: click.Context, /, base: str, candidate: str, as_markdown: bool, to: Sequence[str], **given: Any
) -> int:
    """Compare two tables, cell by cell. BASE and CANDIDATE are combinations, or folders of tables.

    Exits with 0 whatever it found; `harness gate` judges.
    """
    wanted = parse_outlets(to, as_markdown=as_markdown)
    comparison, _ = compared(context, base, candidate, **given)
    if not instead(wanted):
        terminal.print_comparison(new_console(), comparison)
    send(wanted, lambda: said_of_comparison(root_of(context), comparison))
    return 0
