"""A side of a duel made ready: its cells converted once in its environment, and left waiting to be served.

What a side leaves is an attempt like any other (`harness.bench.attempt`), of a plan that says which side of a duel it
is for. It is gone on with where it was interrupted, and never makes a table.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.attempts.execution import execute
from harness.attempts.observing import Observer
from harness.attempts.recorded import read_recorded
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt
from harness.bench.builds import Built, read_built
from harness.bench.errors import EnvironmentChangedError, NoEvidenceError
from harness.bench.failure import describe_failure
from harness.bench.identity import Identity, name_of, short
from harness.bench.launching import R, serve_request
from harness.bench.plan import Cell, Plan, Policy, split
from harness.bench.processes import child_environ
from harness.bench.registry import Registry
from harness.bench.stages import Outcome, Stage
from harness.bench.waiting import WAITING_FILE, Waiting, read_waiting
from harness.executors.local import Local, jobs_here
from harness.executors.units import Executor
from harness.matrix.environment import clean_environ, python_of
from harness.matrix.installing import installed, unwhole
from harness.matrix.wholeness import listed

SIDES = ("a", "b")

_NOT_INSTALLED = (Stage.RESOLVE, Stage.INSTALL)

Key = tuple[str, str]
"""A model, and the spelling of a strategy: what a cell is called on both sides."""


@dataclass(frozen=True, kw_only=True)
class ReadyCell:
    """A cell of one side that waits to be served, with what it is served by: `python` is its interpreter.

    `model_digest` and `strategy_digest` are of the files that it was converted from and by, None where there are none.
    `attempt` is the folder of the attempt in which it waits.
    """

    cell: Cell
    python: Path
    plan: Plan
    registry: Registry
    built: Built
    waiting: Waiting
    model_digest: str | None = None
    strategy_digest: str | None = None
    attempt: Path | None = None

    @property
    def policy(self) -> Policy:
        """Limits and threads of its processes."""
        return self.plan.policy

    @property
    def tolerance(self) -> float:
        """The relative error from which it is mismatched."""
        return float(self.waiting.columns["tolerance"])

    @property
    def own(self) -> bool:
        """Whether PyTorch itself serves it, whose outputs may be put together differently from input to input."""
        strategy = self.registry.strategies[split(self.cell.strategy)[0]].declared
        value = self.registry.runtimes[strategy.runtime].value
        return value is not None and value.needs_module

    @property
    def made_of(self) -> str:
        """Stands for what its latency is of: the lock, and the files of its model and strategy."""
        lock = Path(self.plan.lock).read_text(encoding="utf-8") if self.plan.lock else ""
        strategy = self.registry.strategy_digest(split(self.cell.strategy)[0])
        return short(json.dumps([lock, self.model_digest, strategy]))[:12]

    def request(self, folder: Path, *, measure_s: float | None = None, kind: type[R]) -> R:
        """The request to serve it, timed as the policy says, or for `measure_s` seconds, in a process in `folder`.

        `kind` says how it is timed: in one go as by a run, or in turns, for which that is the patience of warming up.
        """
        request = serve_request(
            self.plan,
            self.registry,
            self.cell,
            self.registry.strategies[split(self.cell.strategy)[0]].declared,
            self.built,
            self.waiting.artifact,
            folder=folder,
            sets=[0],
            timed=True,
            kind=kind,
        )
        return request if measure_s is None else replace(request, measure_s=measure_s)

    def environ(self, *, marker: str) -> dict[str, str]:
        """The variables of its process; `marker` is the folder by which leftovers of a killed duel are found."""
        base = clean_environ(pinned=bool(self.plan.lock))
        return child_environ(self.cell.device, self.policy.threads, marker=marker, base=base)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a duel. `absent` says of each cell that cannot take part why, in a sentence.

    `identity` stands for all that it was made of: the lock, the installed packages, plan, policy and code; `converted`
    for this conversion of it, since the artifacts of another one may be faster or slower. `tasks` are those of `cells`,
    which are in several environments where there are extensions.
    """

    name: str
    cells: Mapping[Key, ReadyCell]
    identity: str
    converted: str = ""
    absent: Mapping[Key, str] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    tasks: tuple[Task, ...] = ()

    def require_whole(self, root: Path) -> None:
        """Raise `EnvironmentChangedError` where an environment is not what was installed from its lock."""
        for task in self.tasks:
            if task.lock is None or task.interpreter is not None:
                continue
            kept = installed(root, task.name, task.lock)
            changes = kept.changes() if kept else []
            if kept is None or changes:
                told = f"{listed(changes)} since it was installed" if changes else "it was installed anew"
                msg = f"{task.name} changed while a duel was under way: {told}. Nothing of its pairs counts."
                raise EnvironmentChangedError(msg)

    def let_go(self, duel: Path) -> None:
        """Remove what was made ready, once the duel in the folder `duel` needs it no more; it has to be held still."""
        for attempt in self.attempts:
            attempt.settle(str(duel))
            attempt.let_go()


def prepare(
    root: Path,
    tasks: Sequence[Task],
    observer: Observer,
    holds: contextlib.ExitStack,
    *,
    side: str,
    executor_of: Callable[[Plan], Executor] | None = None,
) -> Side:
    """Make the cells of `tasks`, which are of one combination, ready for `side` ("a" or "b") of a duel.

    The caller holds the environments. Cells are converted by `executor_of` their plan: without, by as many jobs as this
    machine allows. What is ready is held until `holds` is closed. What is there from a duel that was interrupted is not
    made again. Raises `NoEvidenceError` where an environment cannot be had, and what `execute` raises.
    """
    cells: dict[Key, ReadyCell] = {}
    absent: dict[Key, str] = {}
    attempts, parts, conversions, with_cells = [], [], [], []
    for task in tasks:
        plan = replace(task.plan, duel_side=side, selected=True, keep="", artifacts=())
        attempt = execute(
            root,
            replace(task, plan=plan),
            observer,
            holds,
            run=f"duel of {plan.combination}",
            held=True,
            executor=executor_of(plan) if executor_of else Local(jobs_here(plan.policy, device=plan.device)),
        )
        attempts.append(attempt)
        parts.append(_identity(root, task, attempt))
        ready, missing = ready_cells(attempt, plan, task.interpreter or python_of(root, task.name))
        conversions.append(_conversion(attempt, ready))
        cells |= ready
        with_cells += [task] if ready else []
        absent |= missing
    return Side(
        name=tasks[0].plan.combination,
        cells=cells,
        identity="+".join(parts),
        converted="+".join(conversions),
        absent=absent,
        attempts=tuple(attempts),
        tasks=tuple(with_cells),
    )


def _identity(root: Path, task: Task, attempt: Attempt) -> str:
    stated: Mapping[str, Any] = attempt.read() or {}
    parts: Identity = stated["identity"]
    # Pairs that were taken before an environment was mended are not gone on with.
    mended = max((until for _, until in unwhole(root, task.name)), default=0.0) if task.interpreter is None else 0.0
    return f"{name_of(parts)}-{mended:.0f}" if mended else name_of(parts)


def _conversion(attempt: Attempt, ready: Mapping[Key, ReadyCell]) -> str:
    """Tells the conversions of an attempt's cells from others: what waits says how many seconds each stage took."""
    stated: Mapping[str, Any] = attempt.read() or {}
    waiting = [(attempt.waiting / each.cell.slug / WAITING_FILE).read_bytes() for each in ready.values()]
    return short(json.dumps([stated["started"], sorted(map(short, waiting))]))[:12]


def ready_cells(attempt: Attempt, plan: Plan, python: Path) -> tuple[dict[Key, ReadyCell], dict[Key, str]]:
    """The cells of a side's attempt that wait to be served by `python`, and why others do not.

    Raises `NoEvidenceError` where the environment cannot be had.
    """
    registry = plan.registry()
    cells: dict[Key, ReadyCell] = {}
    absent: dict[Key, str] = {}
    built: dict[str, Built] = {}
    for cell in plan.cells:
        key = cell.model, cell.strategy
        record = read_recorded(attempt.record_of(cell)).record
        if record.stage in _NOT_INSTALLED and not record.extension:
            msg = f"the environment of {plan.combination} cannot be had, so that nothing can be timed: {record.error}"
            raise NoEvidenceError(msg)
        waiting = read_waiting(attempt.waiting / cell.slug)
        if record.outcome is not Outcome.PASSED or waiting is None:
            absent[key] = describe_failure(record) if record.outcome.broken else record.outcome.value
            continue
        if cell.model not in built:
            built[cell.model] = read_built(attempt.built, cell.model)
        cells[key] = ReadyCell(
            cell=cell,
            python=python,
            plan=plan,
            registry=registry,
            built=built[cell.model],
            waiting=waiting,
            model_digest=record.model_digest,
            strategy_digest=record.strategy_digest,
            attempt=attempt.folder,
        )
    return cells, absent
