"""`harness join`: the tables of a night that was split over machines, and what they change."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.bench.errors import UsageError
from harness.bench.plan import split
from harness.cli.context import matrix_option, root_of, say, shown
from harness.cli.exits import COULD_NOT_TELL
from harness.cli.policies import expectations, foreseen_of
from harness.cli.reading import locks_of
from harness.cli.running import select
from harness.cli.storing import store_of
from harness.cli.writing import refuse_unwritable, write_whole
from harness.matrix.selection import Selection
from harness.report.night import night_markdown, night_texts
from harness.tables.decoding import DEVICES
from harness.tables.finding import Series
from harness.tables.joining import Awaited, Joined, Taken, join
from harness.verdict.comparison import compare
from harness.verdict.expectations import Expectation
from harness.verdict.night import Night, Tonight, newly_unexpected


@click.command("join", short_help="Take the tables of a split night, say what changed.")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER...")
@matrix_option
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.option(
    "--issue",
    type=click.Path(path_type=Path),
    help="Write there, as Markdown, what is to be looked at; an empty file where that is nothing.",
)
@click.pass_context
def join_command(
    context: click.Context, folders: tuple[Path, ...], matrix: Path | None, results: Path | None, issue: Path | None
) -> int:
    """Take the tables below each FOLDER, made by `harness run` elsewhere, and say what they change.

    A combination of the matrix whose table is not among them is named, and so is what is refused: not complete, of
    another lock, of other code. Exits with 0 where there is a table of everything and nothing was refused, else with 3;
    what could be taken is taken all the same. Called again it changes nothing more.
    """
    root = root_of(context)
    store = store_of(root, results, selected=False)
    if issue is not None:
        refuse_unwritable(issue, "--issue")
    known = expectations(root)
    awaited = awaited_by(root, matrix)
    joined = join(store, folders, awaited, now=datetime.datetime.now(datetime.UTC))
    night = _night(joined, known)
    for line in night_texts(night):
        say(line)
    for taken in joined.taken:
        say(f"Table: {shown(Path(str(taken.table.folder)))}{'' if taken.new else ' (there already)'}")
    for folder in joined.passed_over:
        say(f"Passed over, since a newer table says the same: {shown(folder)}")
    if issue is not None:
        write_whole(issue, night_markdown(night))
    return 0 if night.whole else COULD_NOT_TELL


def awaited_by(root: Path, matrix: Path | None) -> list[Awaited]:
    """The tables that a matrix asks for, with the cells that this checkout plans for them.

    Raises `UsageError` where the matrix is of selected cells, whose tables nobody can take.
    """
    silent: dict[str, Any] = dict.fromkeys(("models", "strategies", "plugins", "paths"), ())
    silent |= dict.fromkeys(("tier", "device", "extensions"))  # the file says it all
    names, selections = select(root, (), matrix, **silent)
    if any(each.narrowed for each in selections):
        msg = "the matrix is of selected cells, and tables of those stand for no combination. Name whole tiers in it."
        raise UsageError(msg)
    return [_awaited(root, name, selection) for name in names for selection in selections]


def _awaited(root: Path, name: str, selection: Selection) -> Awaited:
    # Which cells there are does not depend on the device, and this machine need not have the one that was used.
    plans = replace(selection, device=DEVICES[0]).plans(name, root)
    registry = plans[0].registry()
    extensions = any(plan.extension for plan in plans)
    locks = locks_of(root, name, extensions=extensions)
    assert locks is not None
    models = {cell.model for plan in plans for cell in plan.cells}
    # What of a user's own code is imported may depend on the environment.
    codes = {model: "" if registry.models[model].own else registry.models[model].digest for model in models}
    routes = {split(cell.strategy)[0] for plan in plans for cell in plan.cells}
    strategies = {route: registry.strategy_digest(route) for route in routes}
    devices = DEVICES if selection.device == "auto" else (selection.device,)
    return Awaited(
        combination=name,
        locks=locks,
        series=tuple(
            Series(tier=selection.tier, device=device, extensions=extensions, models=selection.series)
            for device in devices
        ),
        cells={
            (cell.model, cell.strategy): (codes[cell.model], strategies[split(cell.strategy)[0]])
            for plan in plans
            for cell in plan.cells
        },
    )


def _night(joined: Joined, known: tuple[Expectation, ...] | None) -> Night:
    return Night(
        tables=tuple(_tonight(each, known) for each in joined.taken),
        missing=tuple(map(str, joined.missing)),
        refused=tuple((str(each.folder), each.reason) for each in joined.refused),
    )


def _tonight(taken: Taken, known: tuple[Expectation, ...] | None) -> Tonight:
    before = foreseen_of(taken.before, known) if taken.before else None
    return Tonight(
        table=taken.table,
        comparison=compare(taken.before, taken.table) if taken.before else None,
        unexpected=newly_unexpected(foreseen_of(taken.table, known), before),
    )
