"""Two sides that are run with one selection: their tables, taken or made, and the verdict on them.

What `harness bump` and `harness gate` with requirements share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from harness.attempts.settling import table_of_just_this
from harness.attempts.tasks import Task
from harness.bench.errors import HarnessError, RunInterruptedError, UsageError
from harness.bench.text import one_line
from harness.bump.schema import Bump
from harness.cli.blaming import looked_into
from harness.cli.clustering import HERE
from harness.cli.context import new_console, root_of, say, shown
from harness.cli.duels import Duellists, ElsewhereOf, of_cells, told_by_duel
from harness.cli.outlets import Outlet, instead, send
from harness.cli.reading import compared
from harness.cli.running import run_all, tasks_of
from harness.cli.saying import said_of_comparison
from harness.cli.storing import store_of
from harness.matrix.selection import Selection
from harness.report import terminal
from harness.report.wording import headline
from harness.tables.layout import series_folder
from harness.verdict.comparison import WORSE, Comparison
from harness.verdict.gate import Verdict, judge
from harness.verdict.policy import GatePolicy


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The base and the candidate: what was to be run of each, and the folder of its table."""

    tasks: tuple[Task, Task]
    folders: tuple[Path, Path]


def for_a_verdict(selection: Selection, policy: GatePolicy) -> Selection:
    """What is run of two sides: `selection`, with one launch of a cell where nobody said how many.

    One will do, since no latency of two tables decides; where the policy has a limit for memory, its noise has to be
    known, and cells have as many as in any run.
    """
    if not selection.launches_by_default or policy.names("memory_percent"):
        return selection
    return replace(selection, policy=replace(selection.policy, launches=1))


def tables_of(
    root: Path, selection: Selection, names: Sequence[str], *, results: Path | None, errors_only: bool
) -> Sides:
    """The tables of the base and of the candidate, `names`, each run where there is none of just this.

    Raises `UsageError` where a cell needs an extension, and what running raises.
    """
    base, candidate = names
    if base == candidate:
        msg = f"both are the same requirements, {base}: there is nothing to hold against each other."
        raise UsageError(msg)
    plans = [selection.plans(name, root) for name in names]
    if wrong := next((cell for each in plans for plan in each for cell in plan.cells if plan.extension), None):
        msg = (
            f"{wrong.id} runs in the environment of the extension {wrong.extension}, which only a combination has. "
            "Leave it out of --strategies, or give requirements that have its tools themselves."
        )
        raise UsageError(msg)
    groups = tasks_of(root, plans)
    folders: dict[str, Path] = {}
    for task, *_ in groups:
        if folder := _taken(root, task, results):
            of = "is of just this lock, policy and models"
            say(f"{task.name}: taken from the table {shown(folder)}, which {of}", err=errors_only)
            folders[task.name] = folder
    left = [group for group in groups if group[0].name not in folders]
    if left:
        written = run_all(root, left, results, fresh=False, restart=False, errors_only=errors_only)
        folders |= {plan.combination: folder for plan, folder in written}
    before, after = tasks_of(root, plans)  # a lock may have grown by what turned out to be needed
    return Sides(tasks=(before[0], after[0]), folders=(folders[base].resolve(), folders[candidate].resolve()))


def _taken(root: Path, task: Task, results: Path | None) -> Path | None:
    """The newest table of just this lock, policy and models, wherever tables are kept."""
    plan = task.plan
    places = [
        series_folder(
            store_of(root, results, selected=selected),
            combination=plan.combination,
            device=plan.device,
            tier=plan.tier,
            models=plan.series,
            selected=selected,
        )
        for selected in {plan.selected, False}
    ]
    folders = [folder for place in places for folder in place.glob("[!.]*")]
    return table_of_just_this(task, sorted(folders, key=lambda folder: folder.name, reverse=True))


def judged(
    context: click.Context,
    sides: Sides,
    *,
    policy: GatePolicy,
    results: Path | None,
    wanted: Sequence[Outlet],
    budget_s: float | None,
    duel_s: float | None,
    elsewhere_of: ElsewhereOf = lambda _: HERE,
) -> int:
    """Compare the sides, judge, look for who is to blame, and tell; the exit code.

    `wanted` are the outlets. Trials take `budget_s` seconds at most; None is for no blame. A duel takes
    `duel_s` seconds at most; None is for none. `elsewhere_of` its plans says where it is fought.
    """
    plan = sides.tasks[1].plan
    comparison, unfinished = compared(
        context,
        *map(str, sides.folders),
        tier=plan.tier,
        device=plan.device,
        extensions=False,
        models=(),
        results=results,
    )
    verdict = judge(comparison, policy=policy, unfinished=unfinished)
    root, bump, quietly = root_of(context), None, instead(wanted)
    if duel_s is not None:
        say(headline(comparison, verdict), err=quietly)  # the rest takes minutes
        duelled = told_by_duel(
            root,
            comparison,
            lambda meant, _: Duellists(groups=[_of_cells(task, meant) for task in sides.tasks], untimed={}),
            policy=policy,
            budget_s=duel_s,
            quietly=quietly,
            elsewhere_of=elsewhere_of,
        )
        verdict = judge(comparison, policy=policy, unfinished=unfinished, duelled=duelled)
    if budget_s is not None:
        # What a policy allows is nobody's to blame for.
        counted = tuple(change for change in comparison.changes if change not in verdict.allowed)
        failing = replace(comparison, changes=counted)
        if failing.of(*WORSE):  # the verdict is known, and trials take minutes
            say(headline(comparison, verdict), err=quietly)
        bump, verdict = _with_blame(root, sides, failing, verdict, budget_s=budget_s, quietly=quietly)
    if not quietly:
        terminal.print_comparison(new_console(), comparison, verdict, bump)
    send(wanted, lambda: said_of_comparison(root, comparison, verdict, bump))
    return verdict.exit_code


def _of_cells(task: Task, meant: set[tuple[str, str]]) -> list[Task]:
    return [replace(task, plan=plan) for plan in of_cells([task.plan], meant)]


def _with_blame(
    root: Path, sides: Sides, failing: Comparison, verdict: Verdict, *, budget_s: float, quietly: bool
) -> tuple[Bump | None, Verdict]:
    """Who is to blame. Where that cannot be looked for, a note says so: the verdict stands, whatever trials come to."""
    try:
        return looked_into(root, sides.tasks, failing, sides.folders[1], budget_s=budget_s, quietly=quietly), verdict
    except RunInterruptedError:
        raise
    except HarnessError as error:
        note = f"Who is to blame could not be told: {one_line(str(error))}"
        return None, replace(verdict, notes=(*verdict.notes, note))
