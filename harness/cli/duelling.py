"""`harness duel`: which cells are slower in one combination than in another, by processes that take turns."""

from __future__ import annotations

import contextlib
import fnmatch
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.attempts.tasks import Task
from harness.bench import gpu
from harness.bench.errors import HarnessError, NoEvidenceError, UsageError, unknown
from harness.bench.plan import Plan
from harness.bench.record import write_json
from harness.bench.stages import Outcome
from harness.cli.context import new_console, root_of, selection_options
from harness.cli.exits import COULD_NOT_TELL
from harness.cli.reading import locks_of
from harness.cli.running import jobs_of, select
from harness.cli.storing import RESULTS
from harness.duel.contesting import Duel, Rules, alone, contest
from harness.duel.deciding import Decision
from harness.duel.preparing import SIDES, Key, Side, prepare
from harness.duel.sequential import Design
from harness.matrix import combination as combinations
from harness.matrix.installing import holding
from harness.matrix.requirements import keeping
from harness.matrix.selection import Selection
from harness.report import duel as report
from harness.report.live import RunDisplay
from harness.tables.finding import Series, find_table, is_path, read_path
from harness.tables.schema import Table

BUDGET_MIN = 20.0
WITHIN_PERCENT = 5.0


@click.command(short_help="Time cells of A and B side by side: which are slower in B.")
@click.argument("a")
@click.argument("b")
@click.argument("cells", nargs=-1, metavar="[CELL]...")
@selection_options
@click.option(
    "--budget",
    "budget_min",
    type=float,
    default=BUDGET_MIN,
    show_default=True,
    metavar="MINUTES",
    help="For all of it.",
)
@click.option(
    "--within",
    "within_percent",
    type=float,
    default=WITHIN_PERCENT,
    show_default=True,
    metavar="PERCENT",
    help="What counts as equal.",
)
@click.option(
    "--limit",
    "limit_percent",
    type=float,
    metavar="PERCENT",
    help="Call slower only what is slower by more than that; each cell's own threshold where that is more.",
)
@click.option("--json", "written", type=click.Path(path_type=Path), metavar="FILE", help="Write it as JSON, too.")
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.pass_context
def duel(
    context: click.Context,
    /,
    a: str,
    b: str,
    cells: tuple[str, ...],
    matrix: Path | None,
    budget_min: float,
    within_percent: float,
    limit_percent: float | None,
    written: Path | None,
    results: Path | None,
    **given: Any,
) -> int:
    """Time the cells of B against those of A: 0 nothing is slower, 1 something is, 3 could not tell.

    A and B are combinations, or folders of tables, which stand for their locks. A CELL is MODEL/STRATEGY, or a pattern
    of it; without any, all that pass on both sides. Each is converted once a side; then a process of each side takes
    short turns with the other. Where A and B are the same, it measures how often a false alarm is raised here, and
    below which difference each cell cannot be believed.
    """
    began = time.monotonic()
    rules = _rules(budget_min, within_percent, limit_percent)
    root = root_of(context)
    names = [_combination(root, each, click.echo) for each in (a, b)]
    _, (selection, *_) = select(root, list(dict.fromkeys(names)), matrix, **given)
    plans = {name: selection.plans(name, root) for name in names}
    plans, broken = _of_these(root, results or root / RESULTS, selection, plans, cells)
    tasks = dict(zip(plans, jobs_of(root, list(plans.values())), strict=True))
    console = new_console()
    with RunDisplay(console) as display, alone(root, display.note), contextlib.ExitStack() as held:
        sides = _prepared(root, [tasks[name] for name in names], display, held)
        for name in sorted({task.name for each in tasks.values() for task in each}):
            held.enter_context(holding(root, name, display.note))
        keys = [key for key in sides[0].cells if key in sides[1].cells]
        if not keys:
            raise NoEvidenceError(_nothing_to_time(sides))
        spent_s = time.monotonic() - began
        found = contest(root, sides, keys, rules=rules, spent_s=spent_s, tell=display.note, busy=display.busy)
        for side in sides if not found.cut else ():
            side.let_go(found.folder)
    found = replace(found, absent={**broken, **found.absent})
    if written is not None:
        write_json(written, report.to_json(found))
    click.echo(f"\n{report.as_text(found)}")
    return _exit_code(found)


def _rules(budget_min: float, within_percent: float, limit_percent: float | None) -> Rules:
    for option, value in (("--budget", budget_min), ("--within", within_percent), ("--limit", limit_percent)):
        if value is not None and not value > 0:
            msg = f"{option} is {value:g}, and must be above 0."
            raise UsageError(msg)
    return Rules(
        design=Design(equal_within=within_percent / 100),
        limit=None if limit_percent is None else limit_percent / 100,
        budget_s=budget_min * 60,
    )


def _combination(root: Path, reference: str, tell: Callable[[str], None]) -> str:
    """The combination that a name, or the table at a path, stands for.

    A table of another lock than its combination has now is what its own lock makes of it, as requirements that are
    given. Raises `NoEvidenceError` where a table has no lock.
    """
    if not is_path(reference):
        return reference
    table = read_path(reference)
    run = table.run
    if run.combination in combinations.known(root):
        locks = locks_of(root, run.combination, extensions=False)
        if locks is not None and locks.own == run.lock_digest:
            return run.combination
    if not run.lock_digest or not run.packages:
        msg = (
            f"{reference} keeps no lock of an environment that could be had again, so that nothing can be timed in it."
        )
        raise NoEvidenceError(msg)
    return keeping.keep_lock(
        root,
        table.locks[""],
        name=f"{run.combination}-{run.lock_digest[:8]}",
        python=".".join(run.python.split(".")[:2]),
        source=Path(reference),
        note=tell,
    ).name


def _of_these(
    root: Path, store: Path, selection: Selection, plans: Mapping[str, Sequence[Plan]], patterns: Sequence[str]
) -> tuple[dict[str, list[Plan]], dict[Key, str]]:
    """The plans of the cells that are meant, without those that a newest table says are broken; and these, with why.

    What no table knows is found out by converting it.
    """
    meant = _named([plan for each in plans.values() for plan in each], patterns)
    broken: dict[Key, str] = {}
    for name in plans:
        table = _newest(root, store, selection, name)
        for record in table.records if table else ():
            key = record.model, record.strategy
            if key in meant and record.outcome is not Outcome.PASSED:
                broken.setdefault(key, f"{name}: {record.outcome.value} at {record.stage.value} in its newest table")
    kept = {name: _without(each, meant - broken.keys()) for name, each in plans.items()}
    if not all(kept.values()):
        msg = "none of these cells passes on both sides by the newest tables, so that there is nothing to time."
        raise NoEvidenceError(msg)
    return kept, broken


def _named(plans: Sequence[Plan], patterns: Sequence[str]) -> set[Key]:
    cells = {cell.id: (cell.model, cell.strategy) for plan in plans for cell in plan.cells}
    if not patterns:
        return set(cells.values())
    found: set[Key] = set()
    for pattern in patterns:
        fits = {key for name, key in cells.items() if fnmatch.filter((name, "/".join(key)), pattern)}
        if not fits:
            raise UsageError(unknown("cell", pattern, {"/".join(key) for key in cells.values()}))
        found |= fits
    return found


def _without(plans: Sequence[Plan], meant: set[Key]) -> list[Plan]:
    """The plans with the cells that are meant alone; those that are empty then are left out."""
    narrowed = [
        replace(plan, cells=tuple(cell for cell in plan.cells if (cell.model, cell.strategy) in meant))
        for plan in plans
    ]
    return [plan for plan in narrowed if plan.cells]


def _newest(root: Path, store: Path, selection: Selection, name: str) -> Table | None:
    """The newest table of just what is selected, where there is one."""
    device = gpu.resolve(selection.device)
    series = Series(tier=selection.tier, device=device, extensions=selection.extensions, models=selection.series)
    try:
        return find_table(store, name, series, locks=locks_of(root, name, extensions=selection.extensions)).table
    except HarnessError:
        return None


def _prepared(
    root: Path, jobs: Sequence[Sequence[Task]], display: RunDisplay, holds: contextlib.ExitStack
) -> tuple[Side, Side]:
    """Both sides, converted. The second one need not convert what does not pass on the first."""
    first = prepare(root, jobs[0], display, holds, side=SIDES[0])
    left = [replace(task, plan=plan) for task in jobs[1] for plan in _without([task.plan], set(first.cells))]
    if not left:
        raise NoEvidenceError(_nothing_to_time((first,)))
    return first, prepare(root, left, display, holds, side=SIDES[1])


def _nothing_to_time(sides: Sequence[Side]) -> str:
    why = next((f": {'/'.join(key)}: {reason}" for side in sides for key, reason in side.absent.items()), "")
    return f"no cell passes on both sides, so that there is nothing to time{why}"


def _exit_code(found: Duel) -> int:
    """1 where something is slower, 3 where nothing at all was decided; of A/A nothing can be worse."""
    if found.alarms is None and found.of(Decision.SLOWER):
        return 1
    decided = found.of(Decision.SLOWER, Decision.FASTER, Decision.EQUAL)
    return 0 if decided else COULD_NOT_TELL
