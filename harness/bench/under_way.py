"""One cell, from its model to its record: the stages in their order, and what each leaves.

`run` is all but timing, `time` is that; what came through the one waits for the other (`harness.bench.waiting`).

This runs in the pytest process. It imports no framework: all work is done in children (`harness.bench.children`), and
what they leave on disk is read here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from harness.bench import match, reads
from harness.bench.answers import accuracy, hold_against
from harness.bench.applicable import PYTORCH_ITSELF, not_applicable
from harness.bench.beginnings import Mismatch, beginning_of
from harness.bench.builds import Built
from harness.bench.children import Done, Launched
from harness.bench.consistency import validated
from harness.bench.converting import FACTS
from harness.bench.definitions import Strategy
from harness.bench.disk import NO_RESULT, remove_tree
from harness.bench.errors import InfrastructureError
from harness.bench.failure import Failure, columns_of, not_installed, with_log
from harness.bench.fingerprint import normalise_paths, shorten
from harness.bench.kept import KeptArtifact, describe_artifact, given_in, keep, take_artifact, take_if_of
from harness.bench.latency import latency
from harness.bench.launching import launch_of, process_columns, runtime_imports, runtime_told, serve_request
from harness.bench.logs import LOG_FILE, tail
from harness.bench.means import Means, Stopped
from harness.bench.own_code import roots_of
from harness.bench.plan import Cell, imports_of, split
from harness.bench.progress import described
from harness.bench.record import Record
from harness.bench.requests import ConvertRequest, ServeRequest
from harness.bench.stages import Outcome, Stage
from harness.bench.waiting import Waiting

_LOG_BYTES = 8000
_TIMED = "time-"
"""What the folders of timed launches begin with."""

_TOGETHER = 3
"""How many launches import side by side, before the first of them loads."""


class CellRun:
    """One cell under way: gathers columns and details as it goes. A stage that ends the cell raises `Stopped`."""

    def __init__(self, means: Means, cell: Cell, folder: Path) -> None:
        self.means = means
        self.registry = means.registry
        self.policy = means.plan.policy
        self.cell = cell
        self.folder = folder
        self.strategy: Strategy = self.registry.strategies[split(cell.strategy)[0]].declared
        self.model = self.registry.models[cell.model]
        self.columns: dict[str, Any] = {}
        self.details: dict[str, Any] = {"seconds": {}, "reads": {}}
        self.mismatch: Mismatch | None = None
        self.stage = Stage.BUILD  # how far the bench itself is with it
        self.crossed: Path | None = means.plan.artifact_of(cell)
        self.given = given_in(means.given, cell.slug)
        self.artifact: KeptArtifact | None = None
        self._result: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
        self._artifact: Mapping[str, Any] = {}

    def run(self) -> Failure | None:
        """Every stage but the last, in their order; what ended the cell, if anything did."""

        def stages() -> None:
            self._can_exist()
            built = self._built()  # import, build
            with self._clocked():
                self._ended_by(built.failure)
                artifact = self._artifact = self._converted(built)  # import, build, convert, validate
                self._served(built, artifact)  # load, execute, match, probe

        return self._until_stopped(stages)

    def wait(self) -> bool:
        """Have the cell wait to be timed; False where what it left is no JSON, which its record will tell."""
        waiting = Waiting(
            columns=self.columns, details=self.details, artifact=dict(self._artifact), converted=self._result
        )
        try:
            waiting.write(self.folder)
        except (TypeError, ValueError):
            return False
        return True

    def time(self, waiting: Waiting) -> Failure | None:
        """The last stage: as many launches as the policy asks for, one after the other.

        Raises `InfrastructureError` where the model cannot be built again, which it was before.
        """
        self.columns, self.details = dict(waiting.columns), dict(waiting.details)
        self._result = waiting.converted
        for left in self.folder.glob(f"{_TIMED}*"):  # of a run that was stopped meanwhile
            remove_tree(left)

        def stages() -> None:
            built = self.means.builds.built(self.cell.model)
            if built.failure is not None:
                msg = f"{self.cell.model} was built before, and cannot be any more: {built.failure.error}."
                raise InfrastructureError(msg)
            self.means.children.close()  # nothing is kept warm beside what is timed
            with self._clocked():
                for first in range(0, self.policy.launches, _TOGETHER):
                    numbers = range(first, min(first + _TOGETHER, self.policy.launches))
                    self._timed_together(built, waiting.artifact, numbers)
            self.columns.update(latency(self.details["launches"]))

        return self._until_stopped(stages)

    @contextlib.contextmanager
    def _clocked(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.columns["duration_s"] = (self.columns.get("duration_s") or 0.0) + time.monotonic() - started

    def _until_stopped(self, stages: Callable[[], None]) -> Failure | None:
        failure: Failure | None = None
        try:
            stages()
        except Stopped as stopped:
            failure = stopped.failure
        except Exception as error:  # noqa: BLE001 - a child may leave anything; it costs one cell
            failure = self._unusable(error)
        if self.mismatch is not None and failure is not None and failure.outcome is Outcome.MISMATCHED:
            self._locate(self.mismatch)
        return failure

    def record(self, failure: Failure | None) -> tuple[Record, dict[str, Any]]:
        """The record of what ended the cell."""
        try:
            return validated(self._row(failure)), self.details
        except Exception as error:  # noqa: BLE001 - a child may have said anything; it costs one cell
            return validated(self._row(self._unusable(error))), self.details

    def _locate(self, mismatch: Mismatch) -> None:
        """Where the mismatch begins; what it takes is not the cell's time."""
        begins = beginning_of(
            mismatch,
            strategy=self.strategy,
            children=self.means.children,
            plan=self.means.plan,
            folder=self._own_folder("locate"),
            model_file=self.model.path,
            imports=imports_of(self.registry, None, [self.cell.model]),
            warm_imports=self.means.builds.warm_imports(self._converted_by),
        )
        self.details["begins"] = begins
        if "line" in begins:
            self.columns["begins_at"] = shorten(begins["line"])

    def _unusable(self, error: Exception) -> Failure:
        """What the processes of the cell left cannot be used. Raises what is no result of the cell."""
        if isinstance(error, InfrastructureError) or (isinstance(error, OSError) and error.errno in NO_RESULT):
            raise error
        told = described(error)
        text = f"what the processes of the cell left cannot be used: {told['error']}"
        self.columns.clear()
        self.details.pop("errors", None)
        return Failure(Outcome.FAILED, self.stage, told["error_type"], text, told["traceback"])

    def _row(self, failure: Failure | None) -> Record:
        plan = self.means.plan
        if failure is not None:
            declared = imports_of(self.registry, self.cell.strategy, [self.cell.model])
            failure = not_installed(failure, declared + self._runtime_imports(), pinned=bool(plan.lock))
        self._tell(failure)
        return Record(
            combination=plan.combination,
            extension=plan.extension,
            model=self.cell.model,
            strategy=self.cell.strategy,
            device=self.cell.device,
            tier=plan.tier,
            outcome=failure.outcome if failure else Outcome.PASSED,
            stage=failure.stage if failure else Stage.MEASURE if self.columns.get("launches") else Stage.PROBE,
            model_digest=self.model.digest_here,
            strategy_digest=self.registry.strategy_digest(split(self.cell.strategy)[0]),
            **self.columns,
        )

    def _tell(self, failure: Failure | None) -> None:
        """Columns that say what went wrong."""
        if failure is None:
            return
        failure = with_log(failure, self.details.get("log", ""))
        self.columns.update(columns_of(failure, self.folder, model=self.cell.model))
        self.details["error"] = normalise_paths(failure.error, self.folder)
        if failure.chain:
            self.details["chain"] = [
                {name: normalise_paths(value, self.folder) for name, value in each.items()} for each in failure.chain
            ]
        own = roots_of(self.model.path, self.model.paths) if self.model.own else ()
        self.details["traceback"] = normalise_paths(failure.traceback, self.folder, own=own)

    def _can_exist(self) -> None:
        pinned = bool(self.means.plan.lock)
        given = self.registry, self.strategy, self.cell.model
        self._ended_by(not_applicable(*given, converted_by=self._converted_by, pinned=pinned))

    @property
    def _converted_by(self) -> str | None:
        """The strategy that converts here; None for a cell that serves what was converted elsewhere."""
        return None if self.crossed is not None else self.cell.strategy

    @staticmethod
    def _ended_by(failure: Failure | None) -> None:
        if failure is not None:
            raise Stopped(failure)

    @staticmethod
    def _stop(outcome: Outcome, stage: Stage, error_type: str, text: str) -> NoReturn:
        raise Stopped(Failure(outcome, stage, error_type, text))

    def _built(self) -> Built:
        """The model with its native outputs; what it costs is the run's and not this cell's."""
        imports = self.means.builds.warm_imports(None if self.given else self._converted_by)
        self.means.children.warmed(imports)
        built = self.means.builds.built(self.cell.model, imports)
        self.details["build_seconds"] = dict(built.seconds)
        self.details["own"] = self.model.own
        self.details["reads"] = dict(built.reads)
        if built.failure is not None:
            self.details["build_failed_at"] = built.failure.where or (str(self.model.path) if self.model.own else "")
            self.details["log"] = normalise_paths(tail(built.folder / LOG_FILE, _LOG_BYTES), self.folder)
        self.columns["weights_digest"] = built.facts.get("weights_digest")
        if built.facts:
            self.columns["noise_floor_mse"] = built.facts["noise_mse"]
            self.columns["probes_total"] = len(built.facts["names"]) - 1
            self.columns["probes_derived"] = len(built.facts["derived"]) or None
            if built.facts["dropped_probes"]:
                self.details["dropped_probes"] = dict(built.facts["dropped_probes"])
        return built

    def _converted(self, built: Built) -> Mapping[str, Any]:
        """The artifact that the strategy's steps leave, or have left before."""
        self.stage = Stage.CONVERT
        if (taken := self._taken(built)) is not None:
            return taken
        steps = []
        for name in self.strategy.steps:
            if name not in self.registry.steps:
                self._stop(Outcome.FAILED, Stage.IMPORT, "UsageError", f"the strategy names an unknown step {name!r}")
            steps.append((name, str(self.registry.steps[name].path)))
        value, parameter = split(self.cell.strategy)[1], self.strategy.parameter
        request = ConvertRequest(
            folder=str(self._own_folder("convert")),
            imports=imports_of(self.registry, self.cell.strategy, [self.cell.model]),
            threads=self.policy.threads,
            paths=self.means.plan.paths,
            model=self.cell.model,
            model_file=str(self.model.path),
            steps=tuple(steps),
            built=str(built.folder),
            parameters={} if parameter is None or value is None else {parameter: value},
        )
        done = self.means.children.work(request, self.means.builds.warm_imports(self.cell.strategy))
        self._spent("convert", done)
        self.details["reads"] = reads.together(built.reads, reads.reads_in(Path(request.folder)))
        self._untouched(built, Stage.CONVERT)
        self._ended_by(done.failure)
        result = done.trail.result or {}
        lacking = [name for name in ("kind", "path", "facts", "artifact_bytes", "convert_s") if name not in result]
        if lacking:
            text = f"the process left a result without {', '.join(lacking)}"
            self._stop(Outcome.CRASHED, Stage.CONVERT, "NoResult", text)
        self.columns.update({name: result["facts"][name] for name in sorted(FACTS & set(result["facts"]))})
        self.columns.update(convert_s=result["convert_s"], artifact_bytes=result["artifact_bytes"])
        self._result = result, built.facts
        return result

    def _taken(self, built: Built) -> Mapping[str, Any] | None:
        """What was converted before; None where it has to be now. Raises `InfrastructureError` where that changed."""
        if self.crossed is not None:
            kept, path = take_artifact(self.crossed, self.folder)
            self.details["crossed"] = {"folder": str(self.crossed), **kept.origin()}
            if not kept.is_of(built.facts):
                text = "the model as it is built here has other weights or inputs than the artifact was made of"
                self._stop(Outcome.NOT_APPLICABLE, Stage.LOAD, "NotApplicable", text)
        elif self.given is not None and (found := take_if_of(built.facts, self.given, self.folder)):
            kept, path = found
            self.details["given"] = kept.origin()
        else:
            return None
        self.columns.update({name: kept.facts[name] for name in sorted(FACTS & set(kept.facts))})
        self.columns["artifact_bytes"] = kept.artifact_bytes
        self.artifact = kept
        return {"kind": kept.kind, "path": str(path), "input_names": kept.input_names}

    def keep(self, target: Path, *, limit_mb: int | None) -> dict[str, Any] | None:
        """Move what the cell has left to `target`, and say what a record's details tell of it."""
        traceback = str(self.details.get("traceback", ""))
        return keep(self.folder, target, artifact=self.described(), traceback=traceback, limit_mb=limit_mb)

    def described(self) -> KeptArtifact | None:
        """What it serves, as it may be kept; None where there is nothing that can be."""
        if self.artifact is None and self._result is not None:
            of = {"model": self.cell.model, "strategy": self.cell.strategy}
            self.artifact = describe_artifact(self.folder, self._result[0], self._result[1], **of)
        return self.artifact

    def _untouched(self, built: Built, stage: Stage) -> None:
        """End the cell where it changed what it is held against; the model is built anew for the cells after it."""
        edited = built.edited()
        if edited:
            text = f"the cell changed its model's own files: {', '.join(edited)}"
            self._stop(Outcome.FAILED, stage, "ForeignFilesChanged", text)

    def _served(self, built: Built, artifact: Mapping[str, Any]) -> None:
        """Serve once, and hold what it answered against the native outputs."""
        self.stage = Stage.EXECUTE
        names, same = built.facts["names"], built.facts["same_shape"]
        sets = [i for i in range(len(names)) if same[i] or self.strategy.shapes == "dynamic"]
        self.columns["probes_skipped"] = len(names) - len(sets)
        folder = self._own_folder("serve")
        request = self._request(built, artifact, sets, folder, timed=False)
        gpu = self.means.gpu.watch(timed=False) if self.cell.device == "cuda" else None
        done = self.means.children.serve(request, gpu)
        if gpu is not None:
            self.columns["gpu_peak_mb"], self.columns["gpu_source"] = gpu.peak()
        self._spent("serve", done)
        self._memory(done)
        self._untouched(built, Stage.EXECUTE)
        self._ended_by(self._matched(built, artifact, done, sets, folder, first=True))

    def _timed_together(self, built: Built, artifact: Mapping[str, Any], numbers: Sequence[int]) -> None:
        """Launches that import side by side, and then are timed one after the other. On a GPU each has it alone."""
        self.stage = Stage.MEASURE
        requests = [
            replace(
                self._request(built, artifact, [0], self._own_folder(f"{_TIMED}{number}"), timed=True),
                asks_facts=number == self.policy.launches - 1,
            )
            for number in numbers
        ]
        children, gpu = self.means.children, self.means.gpu
        launches = children.alone(requests, gpu) if self.cell.device != "cpu" else children.in_turn(requests)
        with contextlib.closing(launches):
            for launch in launches:
                self._timed(built, artifact, launch)

    def _timed(self, built: Built, artifact: Mapping[str, Any], launch: Launched) -> None:
        """What became of one launch: what it answered before and after timing is held against the native outputs."""
        folder, done = Path(launch.request.folder), launch.done
        seconds = self.details["seconds"].setdefault("launches", {"import": 0.0})
        seconds["import"] += launch.import_s
        self._untouched(built, Stage.MEASURE)
        if done.failure:
            self.details["log"] = normalise_paths(tail(folder / LOG_FILE, _LOG_BYTES), self.folder)
        failure = self._matched(built, artifact, done, [0], folder, first=False)
        if failure is not None and failure.outcome is Outcome.NOT_APPLICABLE:  # it was applicable a moment ago
            failure = replace(failure, outcome=Outcome.FAILED)
        self._ended_by(failure)
        told = launch_of(done, folder, started=launch.started, gpu_use=launch.gpu.use() if launch.gpu else None)
        self.details.setdefault("launches", []).append({**told, "seconds": done.seconds})
        if launch.request.asks_facts:  # what a runtime says after many calls is of these, and not of the few before
            self._runtime_told(done)

    def _request(
        self, built: Built, artifact: Mapping[str, Any], sets: Sequence[int], folder: Path, *, timed: bool
    ) -> ServeRequest:
        """What the serving process is asked."""
        if self.strategy.runtime not in self.registry.runtimes:
            text = f"the strategy names an unknown runtime {self.strategy.runtime!r}"
            self._stop(Outcome.FAILED, Stage.LOAD, "UsageError", text)
        given = self.means.plan, self.registry, self.cell, self.strategy, built, artifact
        return serve_request(*given, folder=folder, sets=sets, timed=timed, kind=ServeRequest)

    def _runtime_imports(self, *, own: bool = True) -> tuple[str, ...]:
        return runtime_imports(self.registry, self.strategy, self.cell.model, own=own)

    def _own_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _spent(self, part: str, done: Done) -> None:
        self.details["seconds"][part] = {**done.trail.seconds(), "whole": done.seconds}
        if done.failure:
            self.details["log"] = normalise_paths(tail(self.folder / part / LOG_FILE, _LOG_BYTES), self.folder)

    def _memory(self, done: Done) -> None:
        self.columns.update(process_columns(done))
        self._runtime_told(done)

    def _runtime_told(self, done: Done) -> None:
        """Take what the runtime alone can tell; what it tells later counts."""
        columns, facts = runtime_told(done)
        self.columns.update(columns)
        if facts:
            self.details["runtime"] = facts

    def _matched(
        self,
        built: Built,
        artifact: Mapping[str, Any],
        done: Done,
        sets: Sequence[int],
        folder: Path,
        *,
        first: bool,
    ) -> Failure | None:
        """Hold what was answered against the native outputs; what the process died of comes after what was wrong.

        Figures are those of the `first` process, which served every input set.
        """
        tf32 = self.columns.get("tf32") == "on"
        tolerance = match.tolerance_for(built.facts["noise_relative"], own=built.facts["tolerance"], tf32=tf32)
        self.columns["tolerance"] = tolerance
        rejected = (done.trail.result or {}).get("rejected", {})
        # PyTorch itself may put its outputs together differently from input to input, as natively.
        own = artifact["kind"] in PYTORCH_ITSELF
        answers = hold_against(built.folder, folder, built.facts, sets, tolerance, rejected, own=own)
        if first:
            self.columns.update(answers.columns)
            self.details["errors"] = answers.errors
            if answers.not_carried:
                self.details["not_carried"] = list(answers.not_carried)
            self.columns.update(accuracy(built.folder, folder, built.facts))
        failed = answers.failure
        if failed is None or (done.failure and done.failure.stage.rank <= failed.stage.rank):
            return done.failure
        if answers.mismatched is not None:
            self.mismatch = Mismatch(built, artifact, answers.mismatched, tolerance)
        return failed
