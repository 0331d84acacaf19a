"""`harness duel`: which cells are slower in one combination than in another, by processes that take turns."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.bench import gpu
from harness.bench.errors import HarnessError, NoEvidenceError, UsageError, unknown
from harness.bench.plan import Plan
from harness.bench.record import write_json
from harness.bench.stages import Outcome
from harness.cli.clustering import check_where, executor_options, where_duels_are
from harness.cli.context import new_console, root_of, say, selection_options
from harness.cli.duels import BUDGET_MIN, fought, of_cells
from harness.cli.exits import COULD_NOT_TELL
from harness.cli.reading import locks_of
from harness.cli.replanning import standing_for
from harness.cli.running import select, tasks_of
from harness.cli.storing import RESULTS
from harness.duel.contesting import Duel, Rules
from harness.duel.deciding import Decision
from harness.duel.preparing import Key
from harness.duel.sequential import Design
from harness.matrix.selection import Selection
from harness.report import duel as report
from harness.report.live import RunDisplay
from harness.tables.finding import Series, find_table, is_path, read_path
from harness.tables.schema import Table

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
    help="Begin no pair that would end later. Converting counts, and is not cut short.",
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
@executor_options
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
    where: str,
    address: str | None,
    machine: str | None,
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
    _check(budget_min, within_percent, limit_percent)
    check_where(where, address=address, machine=machine, jobs=None)
    root = root_of(context)
    names = [_combination(root, each, say) for each in (a, b)]
    _, (selection, *_) = select(root, list(dict.fromkeys(names)), matrix, **given)
    plans = {name: selection.plans(name, root) for name in names}
    plans, broken = _of_these(root, results or root / RESULTS, selection, plans, cells)
    tasks = dict(zip(plans, tasks_of(root, list(plans.values())), strict=True))
    cells_meant = {(cell.model, cell.strategy) for each in plans.values() for plan in each for cell in plan.cells}
    rules = Rules(
        design=Design(equal_within=within_percent / 100),
        limits={} if limit_percent is None else dict.fromkeys(cells_meant, limit_percent / 100),
        budget_s=budget_min * 60,
    )
    meant = [plan for each in plans.values() for plan in each]
    elsewhere = where_duels_are(meant, where, address=address, machine=machine)
    with RunDisplay(new_console()) as display:
        groups = [tasks[name] for name in names]
        found = fought(root, groups, rules=rules, display=display, elsewhere=elsewhere).duel
    found = replace(found, absent={**broken, **found.absent})
    if written is not None:
        write_json(written, report.to_json(found))
    say(f"\n{report.as_text(found)}")
    return _exit_code(found)


def _check(budget_min: float, within_percent: float, limit_percent: float | None) -> None:
    for option, value in (("--budget", budget_min), ("--within", within_percent), ("--limit", limit_percent)):
        if value is not None and not value > 0:
            msg = f"{option} is {value:g}, and must be above 0."
            raise UsageError(msg)


def _combination(root: Path, reference: str, tell: Callable[[str], None]) -> str:
    """The combination that a name, or the table at a path, stands for."""
    return standing_for(root, read_path(reference), tell) if is_path(reference) else reference


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
    kept = {name: of_cells(each, meant - broken.keys()) for name, each in plans.items()}
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


def _newest(root: Path, store: Path, selection: Selection, name: str) -> Table | None:
    """The newest table of just what is selected, where there is one."""
    device = gpu.resolve(selection.device)
    series = Series(tier=selection.tier, device=device, extensions=selection.extensions, models=selection.series)
    try:
        return find_table(store, name, series, locks=locks_of(root, name, extensions=selection.extensions)).table
    except HarnessError:
        return None


def _exit_code(found: Duel) -> int:
    """1 where something is slower, 3 where nothing at all was decided; of A/A nothing can be worse."""
    if found.alarms is None and found.of(Decision.SLOWER):
        return 1
    decided = found.of(Decision.SLOWER, Decision.FASTER, Decision.EQUAL)
    return 0 if decided else COULD_NOT_TELL
