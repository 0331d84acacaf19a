"""Executes one plan in one environment to the end of its attempt.

The environment is prepared, or told to be a fact of the pins, which is recorded; the attempt is held, gone on with or
begun; units of its cells are run side by side; then one bench runs alone, for what is left and for timing, and is
started again where it died with a cell; what changed the environment meanwhile is found out and mended. Whatever is no
result ends as an `InfrastructureError`, with the attempt paused.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.attempts import mistakes, store
from harness.attempts.carrying import Carrier
from harness.attempts.observing import Observer
from harness.attempts.rows import outcomes, write_row
from harness.attempts.side_by_side import SideBySide, recover
from harness.attempts.suspecting import ALWAYS, suspect_here, suspect_there
from harness.attempts.tasks import Task, inside_of, prepare
from harness.bench.abandoned import sweep
from harness.bench.attempt import Attempt, State
from harness.bench.disk import only_meanwhile
from harness.bench.errors import (
    BenchBrokenError,
    EnvironmentChangedError,
    HarnessError,
    ModelsWrongError,
    PausedError,
    UsageError,
)
from harness.bench.group import end_leftovers
from harness.bench.hold import hold
from harness.bench.identity import identity, name_of
from harness.bench.logs import tail
from harness.bench.plan import Cell
from harness.bench.registry import Registry
from harness.bench.signals import deaf
from harness.bench.stages import Outcome, Stage
from harness.executors.local import Local
from harness.executors.machines import differences
from harness.executors.units import CELL_S, ChangedThereError, Executor, Unit, Work, divide, imports_by_strategy
from harness.matrix.environment import FactOfPins, Prepared
from harness.matrix.installing import unwhole
from harness.matrix.tooling import told_as_infrastructure
from harness.matrix.wholeness import Change, listed

_LOG_BYTES = 2000
_MOST_ROUNDS = 6
"""How often an environment may be changed and mended: a cell that did it is found out in two."""
_LAST_OF_PYTEST = 5
"""The highest exit code that pytest itself has; a bench that ended by one did not die."""


def execute(
    root: Path,
    task: Task,
    observer: Observer,
    holds: contextlib.ExitStack,
    *,
    run: str,
    fresh: bool = False,
    restart: bool = False,
    held: bool = False,
    carrier: Carrier | None = None,
    executor: Executor | None = None,
    durations: Mapping[tuple[str, str], float] | None = None,
) -> Attempt:
    """Execute `task` to its end, or go on with what is recorded of it, and return the ended or settled attempt.

    The attempt is held until `holds` is closed, which has to be after its table is written. `run` names the run that
    this is part of: what is settled under it is done. With `restart`, records are not gone on with; with `held`, the
    caller holds the environment. Units of cells are run by `executor`, without one all cells one after another;
    `durations` are seconds that cells are known to take, by model and strategy. A `carrier` writes down what has a say
    in the cells, and carries over those that nothing changed for.
    Raises `UsageError` where the bench refuses the plan, `PausedError` where it stopped before its end, and
    `InfrastructureError` where there can be no result.
    """
    with contextlib.ExitStack() as environment, told_as_infrastructure(f"running {task.name}"):
        prepared = prepare(root, task, observer, environment, held=held)
        registry = task.plan.registry()
        lock = task.lock.text or task.lock.reason if task.lock else ""
        executor = executor or Local(1)
        inside = {**inside_of(prepared), **executor.conditions, "jobs": executor.jobs}
        parts = identity(task.plan, registry, inside=inside, lock=lock)
        attempt = Attempt(_attempts(root) / task.name / f"{task.plan.device}-{task.plan.tier}-{name_of(parts)}")
        holds.enter_context(hold(attempt.folder, f"this run of {task.name}", observer.note))
        stated = attempt.read()
        if (
            stated
            and stated["state"] == State.SETTLED.value
            and stated["run"] == run
            and Path(stated["table"], "run.json").is_file()
        ):
            observer.note(
                f"{task.name}: done already, by the run that this goes on with; its table is {stated['table']}"
            )
            return attempt
        execution = _Execution(
            root, task, attempt, registry, observer, fresh=fresh, executor=executor, durations=durations or {}
        )
        carry: Callable[[], Sequence[str]] = tuple
        if carrier is not None and isinstance(prepared, Prepared):
            unit = Unit(name="asked", plan=task.plan, folder=attempt.folder, seconds=0.0)
            ask = functools.partial(executor.surroundings, unit, execution.work(prepared, lock))
            carry = functools.partial(carrier.take_up, attempt, task, prepared, inside, fresh=fresh, machines=ask)
        execution.take_up(parts, inside, lock, run=run, restart=restart, carry=carry)
        environment.enter_context(store.lent(root, task.plan, registry, attempt, parts, note=observer.note))
        sweep(path.parent for path in _attempts(root).glob("*/*/attempt.json"))
        if isinstance(prepared, FactOfPins):
            execution.record_fact(prepared)
        else:
            execution.run_bench(prepared, inside, lock)
        attempt.end()
        store.keep(root, task.plan, registry, attempt, parts, note=observer.note)
        return attempt


def _attempts(root: Path) -> Path:
    return root / ".harness" / "attempts"


class _Execution:
    """An attempt under way. It ends, or is paused by whatever is raised here."""

    def __init__(
        self,
        root: Path,
        task: Task,
        attempt: Attempt,
        registry: Registry,
        observer: Observer,
        *,
        fresh: bool,
        executor: Executor | None = None,
        durations: Mapping[tuple[str, str], float] | None = None,
    ) -> None:
        self.root = root
        self.task = task
        self.plan = task.plan
        self.attempt = attempt
        self.registry = registry
        self.observer = observer
        self.fresh = fresh
        self.executor = executor or Local(1)
        self._durations = durations or {}
        self._tried: set[Cell] = set()
        self._by_name = {(cell.model, cell.strategy): cell for cell in task.plan.cells}
        self._events = attempt.events_from()
        self._under_way: Cell | None = None
        self._told_raised: set[str] = set()

    def take_up(
        self,
        parts: Mapping[str, str],
        inside: Mapping[str, Any],
        lock: str,
        *,
        run: str,
        restart: bool,
        carry: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Go on with what is there, or begin anew, saying which, and `carry` over; remove what a dead run left."""
        attempt = self.attempt
        end_leftovers(str(attempt.folder))
        attempt.clear_scratch()
        recover(attempt, self.plan.cells)
        obstacles = ["it is settled"]
        if not restart and attempt.state not in (None, State.SETTLED):
            of_machine = [f"the machine differs ({each})" for each in differences(attempt.read() or {}, inside)]
            obstacles = [*attempt.obstacles(parts), *of_machine]
        if not obstacles:
            attempt.go_on(run=run)
            recorded, waiting = len(attempt.recorded(self.plan)), len(attempt.waiting_cells(self.plan))
            counts = {"that an interrupted run recorded": recorded, "that wait to be timed": waiting}
            if found := [f"{count} cells {which}" for which, count in counts.items() if count]:
                self.observer.note(f"going on with {' and '.join(found)}")
        else:
            if not restart and attempt.state not in (None, State.SETTLED):
                self.observer.note(f"{self.task.name}: beginning anew, since {'; '.join(obstacles)}")
            attempt.begin(self.plan, parts, inside, lock=lock, run=run)
        for told in carry():
            self.observer.note(told)
        self._events = attempt.events_from()
        waits = {(cell.model, cell.strategy) for cell in attempt.waiting_cells(self.plan)}
        self.observer.begin(self.task.name, len(self.plan.cells), outcomes(attempt, self.plan), waits)

    def work(self, prepared: Prepared, lock: str) -> Work:
        """What the units of its cells have in common."""
        return Work(
            root=self.root,
            name=self.task.name,
            python=prepared.python,
            python_version=prepared.python_version,
            lock=lock if self.plan.lock else "",
            fresh=self.fresh,
            shared=self.attempt.shared if self.executor.jobs > 1 else None,
        )

    def record_fact(self, fact: FactOfPins) -> None:
        """Every cell, for the same reason."""
        for cell in self.plan.cells:
            self._write(cell, outcome=fact.outcome, stage=fact.stage, error_type=fact.error_type, error=fact.reason)

    def run_bench(self, prepared: Prepared, inside: Mapping[str, Any], lock: str) -> None:
        """Run the bench until every cell has a record, in an environment that is what it was when it ended."""
        self._prepared = prepared
        with self._pausing():
            self._take_back_what_ran_unwhole()
            self._changed(prepared.found)
            rounds = 0
            work = self.work(prepared, lock)
            while True:
                self._bench(work, inside, lock)
                changes = self._prepared.changes()
                if not changes:
                    break
                rounds += 1
                found_out = self._changed(changes)
                if rounds > (_MOST_ROUNDS if found_out else 1):
                    msg = f"{self.task.name} keeps changing while it is used: {listed(changes)}."
                    raise EnvironmentChangedError(msg)
                self._prepared = self._prepared.mended(changes, note=self.observer.note)
            self._compare_code(inside, lock)

    def _take_back_what_ran_unwhole(self) -> None:
        """Records of cells that ran while the environment was not what was installed, whoever mended it since."""
        spans, intervals = self.attempt.spans(), unwhole(self.root, self.task.name)
        if self.task.interpreter is not None or not intervals:
            return
        tainted = [
            cell
            for cell in self.attempt.worked_on(self.plan)
            for began, ended in spans.get((cell.model, cell.strategy), ALWAYS)
            if any(began <= until and first <= ended for first, until in intervals)
        ]
        if tainted:
            self.attempt.take_back(tainted)

    def _compare_code(self, inside: Mapping[str, Any], lock: str) -> None:
        """Raise where a file with a say was edited while cells ran: some ran the old one, some the new."""
        obstacles = self.attempt.obstacles(identity(self.plan, self.plan.registry(), inside=inside, lock=lock))
        if obstacles:
            cause = f"files were edited while cells ran ({'; '.join(obstacles)}). Run the same command again."
            self.attempt.void(cause)
            msg = f"{self.task.name}: {cause}"
            raise PausedError(msg)

    @contextlib.contextmanager
    def _pausing(self) -> Iterator[None]:
        """Pause the attempt by whatever is raised; records of cells that ran in a changed environment go."""
        try:
            yield
        except (HarnessError, KeyboardInterrupt, OSError) as error:
            with deaf():
                self._pause(error)
            raise

    def _pause(self, error: BaseException) -> None:
        if self.attempt.state is State.REFUSED:
            return
        with contextlib.suppress(OSError, HarnessError):  # an environment that has gone
            self._changed(self._prepared.changes())
        with contextlib.suppress(OSError):  # a full disk: nobody holds it then, and it counts as killed
            stated = self.attempt.read()
            if stated and stated["state"] != State.PAUSED.value:
                self.attempt.pause(str(error) if isinstance(error, HarnessError) else "it was interrupted.")

    def _bench(self, work: Work, inside: Mapping[str, Any], lock: str) -> None:
        """Have every cell recorded: side by side as far as that goes, then by one bench alone."""
        with only_meanwhile(self.attempt.shared):
            while self._side_by_side(work, inside, lock):
                self._alone(work, only_waiting=True)
            self._alone(work)

    def _side_by_side(self, work: Work, inside: Mapping[str, Any], lock: str) -> bool:
        """Run units of the cells that nobody has tried; whether what waits has to be timed before others are begun."""
        done = {*self.attempt.worked_on(self.plan), *self._tried}
        left = [cell for cell in self.plan.cells if cell not in done]
        if not left:
            return False
        parts = divide(
            left, imports_by_strategy(self.plan, self.registry), jobs=self.executor.jobs, seconds=self._seconds
        )
        if not parts:
            return False
        stated = self.attempt.read()
        assert stated is not None
        beside = SideBySide(self.attempt, self.plan)
        units = beside.begin(parts, stated["identity"], inside, lock=lock, seconds=self._seconds)
        try:
            self.executor.run(units, work, lambda: self._looked(beside))
        finally:
            with deaf():
                beside.end()
                self._tell()
        self._tried.update(beside.stopped)
        if beside.fills_disk and not self.plan.duel_side:  # nothing of a duel can be timed to make room
            return True
        self._tried.update(left)
        return False

    def _looked(self, beside: SideBySide) -> bool:
        """Tell what units did; whether others may begin. Raises why the run cannot go on, where one of them knows."""
        goes_on = beside.look()
        self._tell()
        for stated in beside.states():
            if stated["state"] == State.REFUSED.value:
                self.attempt.refuse(stated["cause"], mistake=bool(stated.get("mistake")))
            elif stated["state"] == State.PAUSED.value:
                self.attempt.pause(stated["cause"])
            self._raise_stated(stated)
        return goes_on

    def _seconds(self, cell: Cell) -> float:
        return self._durations.get((cell.model, cell.strategy), CELL_S)

    def _raise_stated(self, stated: Mapping[str, Any]) -> None:
        """Raise why a bench ended before its end, where it said so."""
        if stated["state"] == State.REFUSED.value:
            raise (ModelsWrongError if stated.get("mistake") else UsageError)(stated["cause"])
        if stated["state"] == State.PAUSED.value:
            msg = f"{self.task.name} stopped before its end: {stated['cause']}"
            raise PausedError(msg)

    def _alone(self, work: Work, *, only_waiting: bool = False) -> None:
        """Run the bench until it has recorded every cell, again where it died with one, or raise why not."""
        died: set[str] = set()
        rounds = 0
        cells = self.attempt.waiting_cells(self.plan) if only_waiting else self.plan.cells
        while not all(self.attempt.record_of(cell).exists() for cell in cells):
            try:
                returncode = self._pytest(work, only_waiting=only_waiting)
            except ChangedThereError as error:
                rounds += 1
                found_out = self._changed_there(error)
                if self.task.interpreter is not None or rounds > (_MOST_ROUNDS if found_out else 1):
                    raise
                self.observer.note(error.message)
                continue
            stated = self.attempt.read()
            assert stated is not None
            self._raise_stated(stated)
            if all(self.attempt.record_of(cell).exists() for cell in cells):
                return
            end_leftovers(str(self.attempt.folder))
            self.attempt.clear_scratch()
            if self._under_way is None or 0 <= returncode <= _LAST_OF_PYTEST:
                said = tail(self.attempt.log, _LOG_BYTES)
                msg = f"the bench did not run in {self.task.name} (exit code {returncode}):\n{said}"
                raise BenchBrokenError(msg)
            cell = self._under_way
            self._died(cell, returncode, again=cell.slug in died)
            died.add(cell.slug)

    def _died(self, cell: Cell, returncode: int, *, again: bool) -> None:
        """The bench died while `cell` was under way: once that may be anybody's doing, twice it is the cell's."""
        if not again:
            self.observer.note(f"the bench died with {cell.id} (exit code {returncode}); trying it once more")
            return
        self.observer.note(f"the bench died with {cell.id} again; going on with the next cell")
        self._write(
            cell,
            outcome=Outcome.CRASHED,
            stage=Stage.IMPORT,
            error_type="BenchDied",
            error=f"the bench itself ended with exit code {returncode}, twice, while the cell was under way",
        )

    def _pytest(self, work: Work, *, only_waiting: bool = False) -> int:
        """Pytest in the environment, with nothing beside it, to its end; its exit code."""
        self._under_way = None
        unit = Unit(name="alone", plan=self.plan, folder=self.attempt.folder, seconds=0.0)
        returncode = self.executor.alone(unit, work, self._tell, only_waiting=only_waiting)
        self._tell()
        return returncode

    def _write(self, cell: Cell, *, outcome: Outcome, stage: Stage, error_type: str, error: str) -> None:
        """Record a cell in the place of the bench, and tell the observer."""
        write_row(
            self.attempt,
            self.plan,
            self.registry,
            cell,
            outcome=outcome,
            stage=stage,
            error_type=error_type,
            error=error,
        )
        self._tell()

    def _tell(self) -> None:
        """Tell the observer what the bench wrote, and know which cell is under way."""
        for event in self._events():
            if event["event"] in ("started", "timing"):
                self._under_way = self._by_name.get((event["model"], event["strategy"]))
                tell = self.observer.started if event["event"] == "started" else self.observer.timing
                tell(event["model"], event["strategy"])
            elif event["event"] == "waiting":
                self._under_way = None
                self.observer.waiting(event["model"], event["strategy"])
            elif event["event"] == "ended":
                self._under_way = None
                self.observer.ended(event["model"], event["strategy"], event["outcome"], event["stage"])
                if event["outcome"] == Outcome.FAILED.value and event["model"] not in self._told_raised:
                    self._tell_raised(event["model"], event["strategy"])
            elif event["event"] == "stopped":
                self.observer.stopped(event["model"], event["strategy"])

    def _tell_raised(self, model: str, strategy: str) -> None:
        """Tell once what a model of a user's own raised while it was built, where that is why a cell failed."""
        cell = self._by_name.get((model, strategy))
        # What ended on a node that times has no record yet.
        there = cell is not None and self.attempt.record_of(cell).exists()
        raised = mistakes.raised_by(self.attempt.record_of(cell)) if cell and there else None
        if raised is not None:
            self._told_raised.add(model)
            self.observer.note(mistakes.told_early(raised))

    def _changed(self, changes: Sequence[Change]) -> bool:
        """Take back the records of cells that ran in a changed environment; whether it was found out which did it."""
        if not changes:
            return False
        found = suspect_here(self.attempt, self.plan, changes)
        self._write_guilty(found.guilty, changes)
        return bool(found)

    def _changed_there(self, error: ChangedThereError) -> bool:
        """The same of a node, on which the next order mends the environment."""
        found = suspect_there(self.attempt, self.plan, error)
        self._write_guilty(found.guilty, error.changes)
        return bool(found)

    def _write_guilty(self, cells: Sequence[Cell], changes: Sequence[Change]) -> None:
        """Record cells that changed the environment, twice."""
        for cell in cells:
            self._write(
                cell,
                outcome=Outcome.FAILED,
                stage=Stage.CONVERT,
                error_type="EnvironmentChanged",
                error=f"the cell changed the environment that it runs in: {', '.join(c.path for c in changes[:3])}",
            )
