"""`harness show`, `harness compare` and `harness gate`: what tables say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.bench.definitions import TIERS
from harness.cli.context import new_console, root_of
from harness.cli.exits import told
from harness.report import markdown, terminal
from harness.tables.reading import find_table
from harness.tables.schema import Table
from harness.verdict.comparison import compare
from harness.verdict.gate import judge

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


def table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that reads two tables."""
    for option in reversed(_TABLE_OPTIONS):
        command = option(command)
    return command


def tables(
    context: click.Context, base: str, candidate: str, *, tier: str, device: str, results: Path | None
) -> tuple[Table, Table]:
    """The tables that two references stand for."""
    store = results or root_of(context) / "results"
    first, second = (find_table(store, each, tier=tier, device=device) for each in (base, candidate))
    return first, second


@click.command()
@click.argument("table")
@click.option(
    "--tier", type=click.Choice(TIERS), default="quick", show_default=True, help="Which table a name stands for."
)
@click.option("--device", type=click.Choice(("cpu", "cuda")), default="cpu", show_default=True)
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.option("--markdown", "as_markdown", is_flag=True, help="As Markdown.")
@click.pass_context
@told
def show(context: click.Context, table: str, as_markdown: bool, results: Path | None, **given: Any) -> int:
    """Print a table as a grid. TABLE is a combination, or the folder of a table."""
    found = find_table(results or root_of(context) / "results", table, **given)
    if as_markdown:
        click.echo(markdown.grid(found), nl=False)
    else:
        terminal.print_grid(new_console(), found)
    return 0


@click.command("compare")
@table_options
@click.pass_context
@told
def compare_command(context: click.Context, base: str, candidate: str, as_markdown: bool, **given: Any) -> int:
    """Compare two tables, cell by cell. BASE and CANDIDATE are combinations, or folders of tables.

    Exits with 0 whatever it found; `harness gate` judges.
    """
    comparison = compare(*tables(context, base, candidate, **given))
    if as_markdown:
        click.echo(markdown.comparison(comparison), nl=False)
    else:
        terminal.print_comparison(new_console(), comparison)
    return 0


@click.command()
@table_options
@click.pass_context
@told
def gate(context: click.Context, base: str, candidate: str, as_markdown: bool, **given: Any) -> int:
    """Judge whether CANDIDATE may replace BASE: 0 nothing worse, 1 something is worse, 3 could not tell."""
    comparison = compare(*tables(context, base, candidate, **given))
    verdict = judge(comparison)
    if as_markdown:
        click.echo(markdown.comparison(comparison, verdict), nl=False)
    else:
        terminal.print_comparison(new_console(), comparison, verdict)
    return verdict.exit_code
