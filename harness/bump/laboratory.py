"""The laboratory that really resolves, installs and runs: `Trials`.

A mix is resolved with the base's lock as preferences, installed by the machinery of given requirements, and tried in
the bench; its environment is removed again. All that it told is kept under `.harness/trials/ID`, where ID stands for
the lock, the Python, the policy and the bench, and each record for the files of its model and its strategy, too: what
is there is never run again. Where the lock is that of the base or of the candidate, and that is installed, the trial
takes place there, and nothing is installed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

from packaging.version import Version

from harness.attempts import store
from harness.attempts.execution import execute
from harness.attempts.recorded import read_recorded
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt
from harness.bench.disk import remove_tree
from harness.bench.environment import ANY_VERSION, pins_of
from harness.bench.errors import UsageError
from harness.bench.hold import held_if_free, hold
from harness.bench.identity import identity, short
from harness.bench.plan import Cell, Plan, extension_of, slug_of, split
from harness.bench.record import Record
from harness.bump.candidate import Foundation, resolve
from harness.bump.kept import KEPT, KeptTrial, read_kept, write_kept
from harness.bump.moves import Mix, Move, Side, moves_between
from harness.bump.trials import BudgetSpentError, Resolution, Trial, TrialCell
from harness.matrix import combination as combinations
from harness.matrix import locks, tooling
from harness.matrix.environment import inspect, python_of
from harness.matrix.installing import installed
from harness.matrix.places import own_folder
from harness.matrix.releases import releases
from harness.matrix.requirements import keeping
from harness.matrix.requirements.closing import Closed
from harness.matrix.requirements.identifying import uv_settings
from harness.verdict.comparison import NOT_INSTALLED

Tell = Callable[[str], None]

_NAME = "trial-"
"""Begins the names of the environments of trials."""
_VERSIONS_LAST_S = 24 * 3600.0
_MOST_KEPT_BYTES = 2**30
"""Of artifacts, over all trials: they serve crossings, and can be converted anew."""


class Trials:
    """A `harness.bump.trials.Laboratory` of `base` and `candidate` in the repository `root`.

    `plan` says how cells are run and where models come from; its own cells and combination do not matter. `ready` are
    tasks of the base and the candidate, whose environments are used where they are installed. After `budget_s`
    seconds nothing more is run. `tell` is given a line a trial, `busy` what is under way.
    """

    def __init__(
        self,
        root: Path,
        base: Foundation,
        candidate: Side,
        *,
        plan: Plan,
        ready: Sequence[Task] = (),
        budget_s: float,
        tell: Tell,
        busy: Tell,
    ) -> None:
        self._root, self._foundation, self._plan, self._ready = root, base, plan, tuple(ready)
        self._budget_s, self._tell, self._busy = budget_s, tell, busy
        self._folder = root / ".harness" / "trials"
        self._began = time.monotonic()
        self._closed: dict[Mix, Closed] = {}
        self._told: set[str] = set()
        self.base, self.candidate = base.side, candidate
        self.moves: tuple[Move, ...] = moves_between(base.side, candidate)
        self._registry = plan.registry()

    @contextlib.contextmanager
    def open(self) -> Iterator[Trials]:
        """Have the trials of the repository until the end of the context; what a dead holder left is removed first."""
        own_folder(self._root)
        with hold(self._folder, "what trials share", self._tell):
            self._began = time.monotonic()
            self._sweep()
            try:
                yield self
            finally:
                self._sweep()
                self._bound_kept()

    def resolve(self, mix: Mix) -> Resolution:
        """What `mix` comes to; where uv found a solution, from one run of the harness to the next."""
        closed = self._resolved(mix)
        return Resolution(pins=pins_of(closed.lock), reason=closed.reason)

    def run(self, mix: Mix, cells: Sequence[TrialCell]) -> Trial:
        """`cells` in an environment of `mix`, or what is kept of them."""
        return self._tried(mix, tuple(dict.fromkeys(cells)), {})

    def cross(self, *, converted: Mix, served: Mix, cell: TrialCell) -> Trial:
        """`cell` as the runtime of `served` serves what `converted` made of it."""
        closed = self._resolved(converted)
        key = "" if closed.reason else self._key(closed)
        folder = self._folder / key / KEPT / slug_of(*cell)
        if key and not folder.exists() and self._lent(closed, cell, folder):
            return self._tried(served, (cell,), {cell: folder}, of=key)
        made = self._tried(converted, (cell,), {}, artifact=True)
        if not (folder / "artifact.json").is_file():
            record = made.records.get(cell)
            why = made.reason or (f"{record.outcome.value} at {record.stage.value}" if record else "it was not run")
            reason = f"{converted} left no artifact to serve: {why}"
            return Trial(id=made.id, mix=served, pins={}, records={}, files={}, reason=reason)
        return self._tried(served, (cell,), {cell: folder}, of=made.id)

    def versions(self, package: str) -> tuple[str, ...]:
        """The released versions of `package` from the older side's on, as the index had them within the last day."""
        there = filter(None, (side.locked.get(package) for side in (self.base, self.candidate)))
        since = min((version for version in there if version != ANY_VERSION), key=Version, default="0")
        options = "".join(f"{each}\n" for each in self._foundation.given.options if each.name != "--pre")
        key = short(json.dumps([package, since, self.base.python, options, uv_settings(self._root)]))
        file = self._folder / "versions" / f"{package}-{key}.json"
        told = read_kept(file)
        if told is None or not 0 <= time.time() - told["at"] < _VERSIONS_LAST_S:
            self._busy(f"looking for the versions of {package}")
            found = releases(self._root, package, python=self.base.python, since=since, options=options)
            told = {"at": time.time(), "versions": found}
            write_kept(file, told)
        return tuple(told["versions"])

    def _resolved(self, mix: Mix) -> Closed:
        if mix in self._closed:
            return self._closed[mix]
        base = self._foundation
        of: list[object] = [mix.pins, mix.bounds, sorted(mix.without), str(base.given.wanted), base.given.content]
        of += [base.full, base.lock, base.side.python, sorted(base.wish.modules), base.wish.everything]
        of += [(self._root / locks.bench_requirements(self._root)).read_text(encoding="utf-8")]
        file = self._folder / "resolutions" / f"{short(json.dumps(of))}.json"
        told = read_kept(file)
        if told is not None:
            closed = Closed(full=told["full"], lock=told["lock"])
        else:
            self._busy(f"resolving {mix}")
            try:
                closed = resolve(self._root, base, mix, at=self._folder / "lock.txt")
            except UsageError as error:  # a version that nobody has, or what the bench needs beside it
                closed = Closed(reason=str(error))
            # What the index does not have may be there tomorrow, and so may a newer version of what is not pinned.
            if not closed.reason and all(mix.pins.values()):
                write_kept(file, {"mix": str(mix), "full": closed.full, "lock": closed.lock})
        self._closed[mix] = closed
        return closed

    def _tried(
        self,
        mix: Mix,
        cells: Sequence[TrialCell],
        artifacts: Mapping[TrialCell, Path],
        *,
        of: str = "",
        artifact: bool = False,
    ) -> Trial:
        """A trial of cells, of which `artifacts` serve what the trial `of` converted; with `artifact`, one is left."""
        closed = self._resolved(mix)
        if closed.reason:
            return Trial(id="", mix=mix, pins={}, records={}, files={}, reason=closed.reason)
        key = self._key(closed)
        kept = KeptTrial(self._root, self._folder / key)
        files = {cell: kept.file(cell, self._digest(cell), of) for cell in cells}
        missing = [cell for cell in cells if not files[cell].is_file()]
        if artifact:
            missing += [cell for cell in cells if cell not in missing and not kept.has_artifact(cell)]
        reason, began, made = kept.reason, time.monotonic(), False
        if missing and not reason:
            self._in_budget(mix)
            self._busy(f"{mix}: {', '.join('/'.join(cell) for cell in missing)}")
            reason, made = self._execute(mix, closed, key, missing, files, artifacts)
            kept.note(mix, closed, self.base.python, reason=reason, seconds=time.monotonic() - began, installed=made)
        records = {} if reason else {cell: read_recorded(files[cell]).record for cell in cells}
        trial = Trial(
            id=key,
            mix=mix,
            pins=pins_of(closed.lock),
            records=records,
            files={cell: str(files[cell].relative_to(self._root)) for cell in records},
            reason=reason,
            seconds=kept.seconds,
            installed=made,
            kept=not missing,
        )
        self._tell_of(trial, crossed=bool(artifacts))
        return trial

    def _in_budget(self, mix: Mix) -> None:
        if time.monotonic() - self._began > self._budget_s:
            msg = f"the {self._budget_s / 60:g} minutes for trials are over; {mix} was not tried."
            raise BudgetSpentError(msg)

    def _key(self, closed: Closed) -> str:
        """What a trial is called: whoever tries the same lock in the same way means the same trial."""
        parts = identity(self._plan_of("", ()), self._registry, inside={"packages": {}, "python": ""}, lock="")
        packages = sorted(pins_of(closed.lock).items())
        python = tooling.python_full_version(self.base.python)
        device = self._plan.device
        return short(json.dumps([packages, python, device, parts["policy"], parts["bench"], closed.lock]))[:12]

    def _digest(self, cell: TrialCell) -> str:
        """Of all files with a say in a cell, the bench's own left out."""
        model, strategy = cell
        name, _ = split(strategy)
        entry = self._registry.models[model]
        return short(json.dumps([entry.digest, self._registry.strategy_digest(name)]))[:8]

    def _plan_of(self, name: str, cells: Sequence[TrialCell]) -> Plan:
        device = self._plan.device
        planned = tuple(
            Cell(name, model, strategy, device, extension_of(self._registry, model, strategy, ()))
            for model, strategy in cells
        )
        return replace(self._plan, combination=name, extension="", cells=planned, lock="", selected=True)

    def _execute(
        self,
        mix: Mix,
        closed: Closed,
        key: str,
        cells: Sequence[TrialCell],
        files: Mapping[TrialCell, Path],
        artifacts: Mapping[TrialCell, Path],
    ) -> tuple[str, bool]:
        """Run cells and keep their records; why there are none, and whether an environment was made for it."""
        del mix
        there = self._installed(closed)
        name = there.name if there else f"{_NAME}{key}"
        with contextlib.ExitStack() as stack:
            if there is None:
                stack.callback(self._remove, name)
                base = self._foundation
                given, python = replace(base.given, content=key), self.base.python
                keeping.keep(self._root, given, base.wish, closed, name=name, python=python, note=self._tell)
                combination = combinations.read(self._root, name)
                lock = locks.read_lock(self._root, combination)
            else:
                assert there.combination is not None
                assert there.lock is not None
                combination, lock = there.combination, there.lock
            given_artifacts = tuple((*cell, str(folder)) for cell, folder in artifacts.items())
            keep = self._folder / key / ("crossed" if artifacts else KEPT)
            plan = self._plan_of(name, cells)
            plan = replace(plan, lock=str(lock.path), keep=str(keep), artifacts=given_artifacts)
            needed = frozenset(each.name for each in self._ready)
            task = Task(plan=plan, combination=combination, lock=lock, needed=needed)
            with contextlib.ExitStack() as holds:
                attempt = execute(self._root, task, _Unheard(self._busy), holds, run=f"{_NAME}{key}", restart=True)
                reason = self._kept_of(attempt, plan, files)
                stack.callback(remove_tree, attempt.folder)
            if artifacts:
                remove_tree(keep)
        return reason, there is None

    def _lent(self, closed: Closed, cell: TrialCell, folder: Path) -> bool:
        """Have in `folder` what a run of the base or of the candidate converted, where the store has it; whether so."""
        there = self._installed(closed)
        if there is None or there.lock is None:
            return False
        seen = inspect(python_of(self._root, there.name), pinned=True, lock=there.lock.path)
        inside = {"packages": dict(seen.packages), "python": seen.python}
        plan = self._plan_of(there.name, [cell])
        parts = identity(plan, self._registry, inside=inside, lock=there.lock.text)
        key = store.key_of(plan, self._registry, plan.cells[0], parts)
        return store.take(self._root, key, folder, note=self._tell)

    def _kept_of(self, attempt: Attempt, plan: Plan, files: Mapping[TrialCell, Path]) -> str:
        """Keep the records of an attempt that ended; or return why it could not be installed."""
        recorded = {(cell.model, cell.strategy): attempt.record_of(cell) for cell in plan.cells}
        records = {cell: read_recorded(path).record for cell, path in recorded.items()}
        wrong = next((record for record in records.values() if record.stage in NOT_INSTALLED), None)
        if wrong is not None:
            return f"it does not install: {wrong.error}"
        for cell, path in recorded.items():
            write_kept(files[cell], json.loads(path.read_text(encoding="utf-8")))
        return ""

    def _installed(self, closed: Closed) -> Task | None:
        """The task of the base or the candidate whose environment is that of `closed`, and is there."""
        pins = pins_of(closed.lock)
        for task in self._ready:
            if (
                task.lock is not None
                and task.combination is not None
                and task.combination.python == self.base.python
                and pins_of(task.lock.text) == pins
                and installed(self._root, task.name, task.lock) is not None
            ):
                return task
        return None

    def _remove(self, name: str) -> None:
        """Remove the environment of a trial, and what its execution left."""
        for folder in (combinations.given_folder(self._root, name), self._root / ".harness" / "attempts" / name):
            remove_tree(folder)
        (self._root / ".harness" / "logs" / f"{name}-install.log").unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove the environments of trials that a dead run left."""
        for folder in combinations.given_folder(self._root, "").glob(f"{_NAME}*"):
            with held_if_free(folder) as free:
                if free:
                    self._remove(folder.name)

    def _bound_kept(self) -> None:
        """Remove the artifacts of the oldest trials until what is left is no more than may be."""
        found = sorted(self._folder.glob(f"*/{KEPT}"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        total = 0
        for folder in found:
            total += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            if total > _MOST_KEPT_BYTES:
                shutil.rmtree(folder, ignore_errors=True)

    def _named(self, trial: Trial) -> str:
        """The mix of a trial for a person."""
        for side, name in ((self.base, "the base"), (self.candidate, "the candidate")):
            if dict(trial.pins) == dict(side.locked):
                return name
        return str(trial.mix)

    def _tell_of(self, trial: Trial, *, crossed: bool) -> None:
        """A line for a person, once for each trial and its cells."""
        told = "; ".join(
            f"{'/'.join(cell)} {_became(record)}{' with the artifact of another mix' if crossed else ''}"
            for cell, record in trial.records.items()
        )
        line = f"{self._named(trial)} -> {told or trial.reason.partition(chr(10))[0]}"
        if line in self._told:
            return
        self._told.add(line)
        took = "kept from before" if trial.kept else f"{trial.seconds:.0f} s"
        self._tell(f"trial {len(self._told)}: {line} ({took})")


def _became(record: Record) -> str:
    return record.outcome.value if not record.outcome.broken else f"{record.outcome.value} at {record.stage.value}"


class _Unheard:
    """Follows a trial: only what takes time is told, where there is a live line for it."""

    def __init__(self, busy: Tell) -> None:
        self._busy = busy

    def begin(
        self,
        combination: str,
        planned: int,
        done: Mapping[tuple[str, str], str],
        waiting: AbstractSet[tuple[str, str]],
    ) -> None:
        """Nothing is told."""

    def started(self, model: str, strategy: str) -> None:
        """Nothing is told."""

    def waiting(self, model: str, strategy: str) -> None:
        """Nothing is told."""

    def timing(self, model: str, strategy: str) -> None:
        """Nothing is told."""

    def ended(self, model: str, strategy: str, outcome: str, stage: str) -> None:
        """Nothing is told."""

    def stopped(self, model: str, strategy: str) -> None:
        """Nothing is told."""

    def note(self, text: str) -> None:
        """It goes where what is under way goes."""
        self._busy(text)

    def busy(self, text: str) -> None:
        """The same."""
        self._busy(text)
