"""Who is to blame, looked for once a verdict says that something is worse: the options, and the trials behind them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.attempts import details
from harness.attempts.tasks import Task
from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.bump.blaming import blame
from harness.bump.bumpfile import write_bump
from harness.bump.candidate import foundation
from harness.bump.laboratory import Trials
from harness.bump.logbook import Logbook
from harness.bump.schema import Bump, Package
from harness.bump.wayout import ways_out
from harness.cli.context import new_console
from harness.report.live import RunDisplay
from harness.verdict.comparison import WORSE, Comparison

_BUDGET_MIN = 10.0

_OPTIONS = (
    click.option("--no-blame", is_flag=True, help="Judge alone; do not look for who is to blame."),
    click.option(
        "--blame-budget",
        "budget_min",
        type=click.FloatRange(min=0, min_open=True),
        metavar="MINUTES",
        help=f"How long trials may take that tell who is to blame ({_BUDGET_MIN:g}).",
    ),
)


def blame_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of blame; the command is given `no_blame` and `budget_min`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def budget_s(*, no_blame: bool, budget_min: float | None) -> float | None:
    """Seconds that trials may take; None where there are to be none. Raises `UsageError` where both were given."""
    if no_blame and budget_min is not None:
        msg = "--no-blame and --blame-budget contradict each other. Leave one out."
        raise UsageError(msg)
    return None if no_blame else 60 * (_BUDGET_MIN if budget_min is None else budget_min)


def looked_into(
    root: Path, tasks: tuple[Task, Task], comparison: Comparison, folder: Path, *, budget_s: float, quietly: bool
) -> Bump | None:
    """Who is to blame for what is worse, written as `bump.json` into `folder`; None where nothing is worse.

    `tasks` are those of base and candidate, `folder` that of the candidate's table. Trials are told as they end, on
    the standard error where `quietly`. Raises what a trial raises that is neither a result nor out of time.
    """
    if not comparison.of(*WORSE):
        return None
    base, candidate = (foundation(root, task.name) for task in tasks)
    table = comparison.tables[1]

    def file_of(record: Record) -> str:
        return details.recorded_at(root, table, record.model, record.strategy)

    plan = tasks[1].plan
    console = new_console(stderr=quietly)
    with RunDisplay(console) as display:
        display.note("Something is worse. Trials tell who is to blame, and what passes instead.")
        if base.side.python != candidate.side.python:
            display.note("There are none where the Python differs as well: a trial has only one.")
            return None

        def busy(text: str) -> None:
            if console.is_terminal:
                display.busy(text)

        laboratory = Trials(
            root, base, candidate.side, plan=plan, ready=tasks, budget_s=budget_s, tell=display.note, busy=busy
        )
        with laboratory.open():
            book = Logbook(laboratory)
            registry = plan.registry()
            blames = blame(book, comparison, registry=registry, paths=[Path(each) for each in plan.paths])
            ways = ways_out(book, comparison, blames, registry=registry, file_of=file_of)
    found = Bump(
        base=base.side.name,
        candidate=candidate.side.name,
        moves=tuple(Package.of(move) for move in laboratory.moves),
        trials=tuple(book.entries),
        blames=blames,
        ways_out=ways,
    )
    write_bump(folder, found)
    return found
