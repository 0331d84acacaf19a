"""Executes one plan in one environment to the end of its attempt.

The environment is prepared, or told to be a fact of the pins, which is recorded; the attempt is held, gone on with or
begun; the bench runs in the environment, and is started again where it died with a cell; what changed the environment
meanwhile is found out and mended. Whatever is no result ends as an `InfrastructureError`, with the attempt
paused.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.attempts.observing import Observer
from harness.attempts.rows import write_row
from harness.bench.attempt import Attempt, State
from harness.bench.environment import description
from harness.bench.errors import BenchBrokenError, HarnessError, PausedError, UsageError
from harness.bench.group import MARKER, end_leftovers
from harness.bench.hold import hold
from harness.bench.identity import identity, name_of
from harness.bench.logs import tail
from harness.bench.plan import Cell, Plan
from harness.bench.registry import PACKAGE, Registry
from harness.bench.stages import Outcome, Stage
from harness.matrix.combination import Combination, extended
from harness.matrix.environment import FactOfPins, Prepared, check_ambient, clean_environ
from harness.matrix.installing import holding, prepare_environment
from harness.matrix.locks import Lock
from harness.matrix.wholeness import Change

_POLL_S = 0.2
_LOG_BYTES = 2000


@dataclass(frozen=True, kw_only=True)
class Task:
    """A plan, and where it is executed: in the environment of a lock, or in an interpreter that is there already.

    Without a combination there is no such extension, and its cells cannot exist.
    """

    plan: Plan
    combination: Combination | None = None
    lock: Lock | None = None
    interpreter: Path | None = None

    @property
    def name(self) -> str:
        """The name of the environment: `torch2.0`, or `torch2.0+tools`."""
        return extended(self.plan.combination, self.plan.extension)

    @property
    def pins(self) -> Mapping[str, str]:
        """What the combination pins directly."""
        return self.combination.pins if self.combination else {}


def execute(
    root: Path, task: Task, observer: Observer, *, run: str, fresh: bool = False, restart: bool = False
) -> Attempt:
    """Execute `task` to its end, or go on with what is recorded of it, and return the ended or settled attempt.

    `run` names the run that this is part of: what is settled under it is done. With `restart`, records of an attempt
    that did not come to its end are not gone on with.
    Raises `UsageError` where the bench refuses the plan, `PausedError` where it stopped before its end, and
    `InfrastructureError` where there can be no result.
    """
    with contextlib.ExitStack() as context:
        prepared = _prepare(root, task, observer, context)
        registry = task.plan.registry()
        lock = task.lock.text or task.lock.reason if task.lock else ""
        inside = _inside(prepared)
        parts = identity(task.plan, registry, inside=inside, lock=lock)
        folder = root / ".harness" / "attempts" / task.name / f"{task.plan.device}-{task.plan.tier}-{name_of(parts)}"
        attempt = Attempt(folder)
        context.enter_context(hold(folder, f"this run of {task.name}", observer.note))
        stated = attempt.read()
        if stated and stated["state"] == State.SETTLED.value and stated["run"] == run:
            observer.note(
                f"{task.name}: done already, by the run that this goes on with; its table is {stated['table']}"
            )
            return attempt
        _sweep(attempt)
        _take_up(attempt, task, parts, inside, lock, observer, run=run, restart=restart)
        execution = _Execution(root, task, attempt, registry, observer, fresh=fresh)
        if isinstance(prepared, FactOfPins):
            execution.record_fact(prepared)
        else:
            execution.run_bench(prepared)
        return attempt


def _prepare(root: Path, task: Task, observer: Observer, context: contextlib.ExitStack) -> Prepared | FactOfPins:
    if task.interpreter is not None:
        return check_ambient(root, task.interpreter)
    if task.combination is None or task.lock is None:
        reason = (
            f"{task.plan.combination} has no extension {task.plan.extension!r}; add matrices/{task.name}.in and lock it"
        )
        return FactOfPins(
            outcome=Outcome.NOT_APPLICABLE, stage=Stage.RESOLVE, error_type="NotApplicable", reason=reason
        )
    context.enter_context(holding(root, task.name, observer.note))
    observer.busy(f"{task.name}: preparing the environment")
    log = root / ".harness" / "logs" / f"{task.name}-install.log"
    return prepare_environment(root, task.name, task.lock, log=log, note=observer.note, busy=observer.busy)


def _inside(prepared: Prepared | FactOfPins) -> dict[str, Any]:
    """What an attempt is told of where it runs; of an environment that cannot be had, the machine alone."""
    if isinstance(prepared, FactOfPins):
        return {**description(), "packages": {}, "python": ""}
    return {**description(), "packages": dict(prepared.packages), "python": prepared.python_version}


def _sweep(attempt: Attempt) -> None:
    """Remove what a dead run of this attempt left: processes, and its scratch."""
    end_leftovers(str(attempt.folder))
    if attempt.scratch.exists():
        attempt.clear_scratch()


def _take_up(
    attempt: Attempt,
    task: Task,
    parts: Mapping[str, str],
    inside: Mapping[str, Any],
    lock: str,
    observer: Observer,
    *,
    run: str,
    restart: bool,
) -> None:
    """Go on with what is there, or begin anew, saying which."""
    state = attempt.state
    before: dict[str, int] = {}
    if state in (State.RUNNING, State.PAUSED, State.REFUSED, State.ENDED) and not restart:
        obstacles = attempt.obstacles(parts)
        if not obstacles:
            before = _outcomes(attempt, task.plan)
            attempt.go_on(run=run)
            if before:
                observer.note(f"going on with {sum(before.values())} cells that an interrupted run recorded")
        else:
            observer.note(f"{task.name}: beginning anew, since {'; '.join(obstacles)}")
            state = None
    else:
        state = None
    if state is None:
        attempt.begin(task.plan, parts, inside, lock=lock, run=run)
    observer.begin(task.name, len(task.plan.cells), before)


def _outcomes(attempt: Attempt, plan: Plan) -> dict[str, int]:
    counts: dict[str, int] = {}
    for cell in attempt.recorded(plan):
        outcome = json.loads(attempt.record_of(cell).read_text(encoding="utf-8"))["row"]["outcome"]
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts


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
    ) -> None:
        self.root = root
        self.task = task
        self.plan = task.plan
        self.attempt = attempt
        self.registry = registry
        self.observer = observer
        self.fresh = fresh

    def record_fact(self, fact: FactOfPins) -> None:
        """Every cell, for the same reason."""
        events = self.attempt.events_from()
        for cell in self.plan.cells:
            write_row(
                self.attempt,
                self.plan,
                self.registry,
                cell,
                outcome=fact.outcome,
                stage=fact.stage,
                error_type=fact.error_type,
                error=fact.reason,
            )
        self._tell(events)
        self.attempt.end()

    def run_bench(self, prepared: Prepared) -> None:
        """Run the bench until every cell has a record, in an environment that is what it was when it ended."""
        try:
            while True:
                if len(self.attempt.recorded(self.plan)) < len(self.plan.cells):
                    self._bench(prepared)
                changes = prepared.changes()
                if not changes:
                    break
                self._changed(changes)
                prepared = prepared.mended(changes, note=self.observer.note)
            self.attempt.end()
        except HarnessError as error:
            self._pause(error)
            raise
        except KeyboardInterrupt:
            if self.attempt.state is State.RUNNING:
                self.attempt.pause("it was interrupted.")
            raise

    def _pause(self, error: HarnessError) -> None:
        if self.attempt.state in (State.RUNNING, State.ENDED):
            self.attempt.pause(str(error))

    def _bench(self, prepared: Prepared) -> None:
        """Start the bench, again where it died with a cell, until it ends or says why not."""
        while True:
            returncode = self._pytest(prepared)
            stated = self.attempt.read()
            assert stated is not None
            match State(stated["state"]):
                case State.ENDED:
                    return
                case State.REFUSED:
                    raise UsageError(stated["cause"])
                case State.PAUSED:
                    msg = f"{self.task.name} stopped before its end: {stated['cause']}"
                    raise PausedError(msg)
            died_with = self._under_way()
            if died_with is None:
                said = tail(self.attempt.log, _LOG_BYTES)
                msg = f"the bench did not run in {self.task.name} (exit code {returncode}):\n{said}"
                raise BenchBrokenError(msg)
            self.observer.note(f"the bench died with {died_with.id} ({returncode}); going on with the next cell")
            error = f"the bench itself ended with exit code {returncode} while the cell was under way"
            write_row(
                self.attempt,
                self.plan,
                self.registry,
                died_with,
                outcome=Outcome.CRASHED,
                stage=Stage.IMPORT,
                error_type="BenchDied",
                error=error,
            )
            _sweep(self.attempt)
            if len(self.attempt.recorded(self.plan)) == len(self.plan.cells):
                return

    def _under_way(self) -> Cell | None:
        """The cell that had begun and has no record."""
        spans = self.attempt.spans()
        open_ones = [
            cell
            for cell in self.plan.cells
            if spans.get((cell.model, cell.strategy), (0.0, 0.0))[1] == float("inf")
            and not self.attempt.record_of(cell).exists()
        ]
        return open_ones[-1] if open_ones else None

    def _pytest(self, prepared: Prepared) -> int:
        """Pytest in the environment, to its end; its exit code."""
        command = [str(prepared.python), "-m", "pytest", f"-c{PACKAGE / 'bench' / 'pytest.ini'}"]
        command += ["-pharness.bench", f"--attempt={self.attempt.folder}", "-q", "-pno:cacheprovider"]
        command += ["--fresh"] if self.fresh else []
        events = self.attempt.events_from()
        environ = {**clean_environ(pinned=bool(self.plan.lock)), MARKER: str(self.attempt.folder)}
        with self.attempt.log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, cwd=self.root, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            while process.poll() is None:
                self._tell(events)
                time.sleep(_POLL_S)
        except BaseException:
            self._interrupt(process)
            raise
        self._tell(events)
        return process.returncode

    def _interrupt(self, process: subprocess.Popen[bytes]) -> None:
        """Let the bench end by itself, which removes what its cells left; what does not end is killed."""
        process.send_signal(2)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _sweep(self.attempt)

    def _tell(self, events: Callable[[], Iterator[Mapping[str, Any]]]) -> None:
        for event in events():
            if event["event"] == "started":
                self.observer.started(event["model"], event["strategy"])
            else:
                self.observer.ended(event["model"], event["strategy"], event["outcome"], event["stage"])

    def _changed(self, changes: Sequence[Change]) -> None:
        """Take back the records of cells that ran in a changed environment, and find out which cell changed it.

        A cell during which it happened is suspected, and runs again; one during which it happens twice did it.
        """
        stated = self.attempt.read()
        assert stated is not None
        suspects = set(stated["suspects"])
        first = min(change.changed for change in changes)
        spans = self.attempt.spans()
        found = []
        for cell in self.attempt.recorded(self.plan):
            began, ended = spans.get((cell.model, cell.strategy), (0.0, float("inf")))
            if ended < first:
                continue
            inside = any(began <= change.changed <= ended for change in changes)
            if inside and cell.slug in suspects:
                files = ", ".join(change.path for change in changes[:3])
                write_row(
                    self.attempt,
                    self.plan,
                    self.registry,
                    cell,
                    outcome=Outcome.FAILED,
                    stage=Stage.CONVERT,
                    error_type="EnvironmentChanged",
                    error=f"the cell changed the environment that it runs in: {files}",
                )
                continue
            self.attempt.record_of(cell).unlink()
            found += [cell.slug] if inside else []
        self.attempt.suspect(found)
