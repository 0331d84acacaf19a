"""Duels as commands fight them: both sides made ready, timed in pairs and let go; and what a verdict takes from it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from harness.attempts.tasks import Task
from harness.bench.errors import HarnessError, NoEvidenceError, RunInterruptedError, UsageError
from harness.bench.plan import Plan
from harness.bench.text import one_line
from harness.cli.clustering import HERE, RAY, Elsewhere, check_where, where_duels_are
from harness.cli.context import new_console
from harness.duel.contesting import Duel, Rules, alone, contest
from harness.duel.preparing import SIDES, Key, Side, prepare
from harness.duel.sequential import Design
from harness.executors.cluster import require_class
from harness.executors.machines import MachineClass
from harness.matrix.installing import holding
from harness.report.duel import machine_words, unsteady_words
from harness.report.live import RunDisplay
from harness.tables.schema import Run
from harness.verdict.comparison import CellChange, Comparison, count_of, listed
from harness.verdict.duelled import Duelled
from harness.verdict.policy import GatePolicy

BUDGET_MIN = 20.0

Groups = Sequence[Sequence[Task]]
"""The tasks of each of the two sides: of a combination itself, and of its extensions."""

_OPTIONS = (
    click.option("--duel", "with_duel", is_flag=True, help="Time the cells that pass on both sides, in pairs."),
    click.option(
        "--duel-budget",
        "duel_min",
        type=click.FloatRange(min=0, min_open=True),
        metavar="MINUTES",
        help=f"Begin no pair that would end later; converting counts, and is not cut short ({BUDGET_MIN:g}).",
    ),
    click.option(
        "--duel-machine",
        metavar="LABEL=VALUE",
        help="Convert and time on the nodes of a Ray cluster with this label, pairs on one of them alone.",
    ),
    click.option("--duel-address", metavar="ADDRESS", help="The cluster's, as Ray takes it; else the one found here."),
)


def duel_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a verdict that rests on a duel.

    The command is given `with_duel`, `duel_min`, `duel_machine` and `duel_address`.
    """
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def duel_s(*, with_duel: bool, duel_min: float | None) -> float | None:
    """Seconds that a duel may take; None where there is to be none. Raises `UsageError` where only a time is given."""
    if not with_duel and duel_min is not None:
        msg = "--duel-budget: only goes with --duel."
        raise UsageError(msg)
    return 60 * (BUDGET_MIN if duel_min is None else duel_min) if with_duel else None


ElsewhereOf = Callable[[Sequence[Plan]], Elsewhere]


def duel_place(*, with_duel: bool, duel_machine: str | None, duel_address: str | None) -> ElsewhereOf:
    """Where a duel of plans is fought.

    Raises `UsageError` for options that say nothing and for a label that no node has, and `ClusterError` where there is
    no cluster: it may take hours until there is something to be timed.
    """
    if duel_address and not duel_machine:
        msg = f"--duel-address {duel_address}: add --duel-machine, which says on which of its nodes."
        raise UsageError(msg)
    if not duel_machine:
        return lambda _: HERE
    if not with_duel:
        msg = "--duel-machine: only goes with --duel."
        raise UsageError(msg)
    machine = MachineClass.parse(duel_machine, option="--duel-machine")
    check_where(RAY, address=duel_address, machine=duel_machine, jobs=None)
    require_class(duel_address, machine)
    return lambda plans: where_duels_are(plans, RAY, address=duel_address, machine=duel_machine)


@dataclass(frozen=True, kw_only=True)
class Fought:
    """A duel, and the sides that it was of."""

    duel: Duel
    sides: tuple[Side, Side]


def fought(root: Path, groups: Groups, *, rules: Rules, display: RunDisplay, elsewhere: Elsewhere = HERE) -> Fought:
    """A whole duel of the cells of `groups`. Waiting for who else duels, or uses the environments, costs no budget.

    Cells are converted, and pairs are taken, here or `elsewhere`.
    Raises `NoEvidenceError` where an environment cannot be had or no cell passes on both sides, and what executing
    raises.
    """
    with alone(root, display.note), contextlib.ExitStack() as held:
        # From before the first conversion to the last pair, so that nobody reinstalls or removes one in between. Nobody
        # but a duel waits for one environment while it has another, and there is one duel at a time.
        for name in sorted({task.name for each in groups for task in each}):
            held.enter_context(holding(root, name, display.note))
        began = time.monotonic()
        sides = _prepared(root, groups, display, held, elsewhere)
        keys = [key for key in sides[0].cells if key in sides[1].cells]
        if not keys:
            raise NoEvidenceError(_nothing_to_time(sides))

        def check() -> None:
            for side in sides if elsewhere.ground is None else ():  # a node looks at its own
                side.require_whole(root)

        check()
        spent_s = time.monotonic() - began
        duel = contest(
            root,
            sides,
            keys,
            rules=rules,
            spent_s=spent_s,
            tell=display.note,
            busy=display.busy,
            check=check,
            ground=elsewhere.ground,
        )
        for side in sides if not duel.cut else ():
            side.let_go(duel.folder)
        return Fought(duel=duel, sides=sides)


def of_cells(plans: Sequence[Plan], meant: set[Key]) -> list[Plan]:
    """The plans with the cells that are meant alone; those that are empty then are left out."""
    narrowed = [
        replace(plan, cells=tuple(cell for cell in plan.cells if (cell.model, cell.strategy) in meant))
        for plan in plans
    ]
    return [plan for plan in narrowed if plan.cells]


def _prepared(
    root: Path, groups: Groups, display: RunDisplay, holds: contextlib.ExitStack, elsewhere: Elsewhere
) -> tuple[Side, Side]:
    """Both sides, converted. The second one need not convert what does not pass on the first."""
    by = elsewhere.executor_of
    first = prepare(root, groups[0], display, holds, side=SIDES[0], executor_of=by)
    left = [replace(task, plan=plan) for task in groups[1] for plan in of_cells([task.plan], set(first.cells))]
    if not left:
        raise NoEvidenceError(_nothing_to_time((first,)))
    return first, prepare(root, left, display, holds, side=SIDES[1], executor_of=by)


def _nothing_to_time(sides: Sequence[Side]) -> str:
    why = next((f": {'/'.join(key)}: {reason}" for side in sides for key, reason in side.absent.items()), "")
    return f"no cell passes on both sides, so that there is nothing to time{why}"


@dataclass(frozen=True, kw_only=True)
class Duellists:
    """What is to be timed for a verdict: the tasks of both sides, and why other cells that pass cannot be."""

    groups: Groups
    untimed: Mapping[Key, str]


def told_by_duel(
    root: Path,
    comparison: Comparison,
    duellists: Callable[[set[Key], RunDisplay], Duellists],
    *,
    policy: GatePolicy,
    budget_s: float,
    quietly: bool,
    elsewhere_of: ElsewhereOf = lambda _: HERE,
) -> Duelled:
    """What a duel tells of the cells that pass on both sides: of those that the policy has a limit for, or of all.

    `duellists` is asked for the sides of these cells. What stands in the way of a duel is told in its place, since the
    verdict stands without it. `quietly` shows how far it is on the standard error. `elsewhere_of` the plans says where
    it is fought.
    """
    passing = [each for each in comparison.changes if each.passed]
    cells = [(each.model, each.strategy) for each in passing]
    limits = {cell: limit / 100 for cell in cells if (limit := policy.latency_percent(*cell)) is not None}
    limited = bool(limits) or policy.names("latency_percent")
    alike = {(each.model, each.strategy) for each in passing if _has_one_environment(comparison, each)}
    meant = set(limits if limited else cells) - alike
    if not meant:
        return _nothing_meant(cells, limited=limited and not limits)
    base, candidate = comparison.base, comparison.candidate
    if base.threads != candidate.threads:
        return Duelled(
            none=f"the tables were made with different numbers of threads, {base.threads} and {candidate.threads}",
            remedy=f"run the candidate again with --threads {base.threads}, and gate again.",
        )
    limits = {cell: limit for cell, limit in limits.items() if cell in meant}
    # What a limit allows is proved like anything else: a cell is not passed for being equal within more than that.
    rules = Rules(
        design=Design(equal_within=min([Design().equal_within, *limits.values()])), limits=limits, budget_s=budget_s
    )
    try:
        with RunDisplay(new_console(stderr=quietly)) as display:
            wanted = duellists(meant, display)
            if not all(wanted.groups):
                return Duelled(untimed=wanted.untimed)
            elsewhere = elsewhere_of([task.plan for each in wanted.groups for task in each])
            found = fought(root, wanted.groups, rules=rules, display=display, elsewhere=elsewhere)
    except RunInterruptedError:
        raise
    except HarnessError as error:
        return Duelled(none=one_line(str(error)).rstrip("."), remedy="mend that, and gate again.")
    told = _told(found, wanted.untimed, comparison)
    if alike:
        named = listed(sorted("/".join(cell) for cell in alike))
        told = replace(told, notes=(*told.notes, f"Not timed, being of one environment on both sides: {named}."))
    return told


def _nothing_meant(passing: Sequence[Key], *, limited: bool) -> Duelled:
    """Why there is no cell to be timed; `limited` says that those that pass have none of the limits."""
    if not passing:
        return Duelled(none="no cell passes on both sides")
    if limited:
        return Duelled(notes=("[gate] names latency_percent for no cell that passes on both sides.",))
    return Duelled(notes=("Both tables are of one environment, so that a duel has nothing to tell.",))


def _has_one_environment(comparison: Comparison, change: CellChange) -> bool:
    """Whether a cell was run in the same environment on both sides: its combination's own, or its extension's."""
    assert change.base is not None
    assert change.candidate is not None
    before, after = (
        (run.combination, record.extension, _lock_digest(run, record.extension))
        for run, record in ((comparison.base, change.base), (comparison.candidate, change.candidate))
    )
    return before == after and bool(before[-1])


def _lock_digest(run: Run, extension: str) -> str:
    """The digest of the lock that the cells of an extension ran by; empty where there is none."""
    if not extension:
        return run.lock_digest
    extended = run.extensions.get(extension)
    return extended.lock_digest if extended else ""


def _changed(sides: Sequence[Side], comparison: Comparison) -> list[str]:
    """The cells of which a side was made of other code now than when its table was: the model's, or the strategy's."""
    tabled = [
        {(each.model, each.strategy): record for each in comparison.changes if (record := getattr(each, side))}
        for side in ("base", "candidate")
    ]
    changed = {
        key
        for side, records in zip(sides, tabled, strict=True)
        for key, ready in side.cells.items()
        if key in records
        for now, then in (
            (ready.model_digest, records[key].model_digest),
            (ready.strategy_digest, records[key].strategy_digest),
        )
        if None not in (now, then) and now != then
    }
    return sorted("/".join(key) for key in changed)


def _told(found: Fought, untimed: Mapping[Key, str], comparison: Comparison) -> Duelled:
    duel = found.duel
    notes = []
    if changed := _changed(found.sides, comparison):
        notes.append(
            "The duel is of the code of models and strategies as it is now, which is not that of the tables: "
            f"{listed(changed)}."
        )
    if duel.unsteady:
        notes.append(unsteady_words(duel))
    if duel.cut:
        notes.append(f"The budget cut off {count_of(len(duel.cut))}: the same command goes on where the duel stopped.")
    return Duelled(
        cells=duel.decisions,
        untimed={**untimed, **duel.absent},
        sides=duel.sides,
        cut=frozenset(duel.cut),
        fell_out=frozenset(duel.fell_out),
        unmeasured=frozenset(duel.decisions.keys() - duel.thresholds.keys()),
        machine=machine_words(duel.machine, duel.nodes),
        pairs=duel.pairs,
        seconds=duel.seconds,
        notes=tuple(notes),
    )
