"""Runs one cell to its record: the build of its model, its conversion, its serving, and the match.

This is the pytest process. It imports no framework: all work is done in children, and what they leave on disk is
read here.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bench import match, tensors
from harness.bench.definitions import Strategy
from harness.bench.failure import Failure, failure_of, not_installed
from harness.bench.fingerprint import fingerprint, normalise_paths, shorten
from harness.bench.gpu import PeakSampler
from harness.bench.plan import Cell, Plan, split
from harness.bench.processes import LOG_FILE, Limits, Warm, WarmError, child_environ, start, watch
from harness.bench.progress import Trail, read_trail
from harness.bench.record import Record, write_json
from harness.bench.registry import Registry
from harness.bench.serve import BENCHMARK_FILE
from harness.bench.stages import Outcome, Stage


@dataclass(frozen=True)
class Done:
    """What a child left behind, and the failure it came to, if any."""

    trail: Trail
    failure: Failure | None
    seconds: float


@dataclass(frozen=True)
class Built:
    """A model that was built, or why it could not be."""

    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


class Bench:
    """Runs the cells of one plan, one after the other. `close` ends the warm process."""

    def __init__(self, plan: Plan, registry: Registry, work: Path, *, fresh: bool) -> None:
        self.plan = plan
        self.registry = registry
        self.work = work
        self.fresh = fresh
        self.limits = Limits(plan.policy.timeout_s, plan.policy.memory_limit_mb)
        self.environ = child_environ(plan.device, plan.policy.threads)
        # Converting happens on the CPU, whatever serves.
        self._converting_environ = child_environ("cpu", plan.policy.threads)
        self._built: dict[str, Built] = {}
        self._warm: Warm | None = None
        self._cold: set[tuple[str, ...]] = set()
        self._planned_models: dict[str, None] = {cell.model: None for cell in plan.cells}

    def close(self) -> None:
        """End what was kept warm and remove the scratch folder."""
        if self._warm is not None:
            self._warm.close()
            self._warm = None
        shutil.rmtree(self.work, ignore_errors=True)

    def imports(self, strategy: str | None, model: str | None = None) -> tuple[str, ...]:
        """What converting by `strategy` imports: its steps' modules and the model's, or every planned model's.

        Names that nothing declares any more are met again, and told, in the child.
        """
        names: dict[str, None] = {"torch": None}
        for name in [model] if model else self._planned_models:
            entry = self.registry.models.get(name)
            names.update(dict.fromkeys(entry.value.imports if entry and entry.value else ()))
        if strategy is not None:
            for step in self.registry.strategies[split(strategy)[0]].declared.steps:
                found = self.registry.steps.get(step)
                names.update(dict.fromkeys(found.value.imports if found and found.value else ()))
        return tuple(names)

    def warmed(self, imports: tuple[str, ...]) -> Warm | None:
        """The process that has imported these; None where that is not to be had. One is kept at a time."""
        if self.fresh or imports in self._cold:
            return None
        if self._warm is not None and self._warm.imports == imports:
            return self._warm
        if self._warm is not None:
            self._warm.close()
            self._warm = None
        try:
            self._warm = Warm(
                imports,
                self.work / "warm.log",
                environ=self._converting_environ,
                timeout_s=self.plan.policy.timeout_s,
            )
        except WarmError:
            # An import that kills its process: each cell meets it in a process of its own.
            self._cold.add(imports)
        return self._warm

    def work_in_child(self, request: dict[str, Any], warm_imports: tuple[str, ...]) -> Done:
        """Run a request in a fork of the warm process; where that crashes or hangs, again in a fresh one."""
        folder = Path(request["folder"])
        started = time.monotonic()
        warm = self.warmed(warm_imports)
        if warm is not None:
            path = self.write_request(request)
            try:
                ended = watch(warm.fork(path, cwd=folder), self.limits)
            except WarmError:
                warm.close()
                self._warm = None
            else:
                trail = read_trail(folder)
                failure = failure_of(trail, ended, self.limits, fallback=Stage.IMPORT)
                if failure is None or failure.outcome not in (Outcome.CRASHED, Outcome.TIMED_OUT):
                    return Done(trail, failure, time.monotonic() - started)
            shutil.rmtree(folder)
            folder.mkdir()
        path = self.write_request(request)
        ended = watch(start("worker", path, cwd=folder, environ=self._converting_environ), self.limits)
        trail = read_trail(folder)
        failure = failure_of(trail, ended, self.limits, fallback=Stage.IMPORT)
        return Done(trail, failure, time.monotonic() - started)

    def write_request(self, request: dict[str, Any]) -> Path:
        """Write what a child shall do into its folder."""
        path = Path(request["folder"]) / "request.json"
        write_json(path, {"plan": self.plan.to_json(), "threads": self.plan.policy.threads, **request})
        return path

    def built(self, model: str, warm_imports: tuple[str, ...] | None = None) -> Built:
        """The model's inputs and native outputs, made once."""
        if model not in self._built:
            folder = self.work / "built" / model
            folder.mkdir(parents=True)
            request = {"job": "build", "model": model, "folder": str(folder), "imports": self.imports(None, model)}
            done = self.work_in_child(request, warm_imports or self.imports(None))
            facts = {} if done.failure else json.loads((folder / "built.json").read_text(encoding="utf-8"))
            self._built[model] = Built(folder, facts, done.failure, done.trail.seconds())
        return self._built[model]

    def native(self, model: str) -> dict[str, Any] | None:
        """A digest and a sample of the model's native outputs, once it is built."""
        built = self._built.get(model)
        if built is None or not built.facts:
            return None
        return {
            "weights_digest": built.facts["weights_digest"],
            "parameters": built.facts["parameters"],
            "outputs": built.facts["native"],
        }

    def run(self, cell: Cell) -> tuple[Record, dict[str, Any]]:
        """The record of one cell and its details."""
        name, _ = split(cell.strategy)
        strategy = self.registry.strategies[name].declared
        folder = self.work / "cells" / cell.slug
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            return _CellRun(self, cell, strategy, folder).record()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class _CellRun:
    """One cell under way: gathers columns and details as it goes."""

    def __init__(self, bench: Bench, cell: Cell, strategy: Strategy, folder: Path) -> None:
        self.bench = bench
        self.cell = cell
        self.strategy = strategy
        self.folder = folder
        self.columns: dict[str, Any] = {}
        self.details: dict[str, Any] = {"seconds": {}}
        entry = bench.registry.models[cell.model]
        self.model_digest = entry.digest
        self.twin_missing = entry.value is not None and entry.value.twin is None

    def record(self) -> tuple[Record, dict[str, Any]]:
        """Run every stage and make the record."""
        failure: Failure | None
        duration: float | None = None
        if self.strategy.needs_twin and self.twin_missing:
            text = f"{self.cell.model} has no twin: nobody has recreated it in TensorFlow"
            failure = Failure(Outcome.NOT_APPLICABLE, Stage.CONVERT, "NotApplicable", text)
        else:
            imports = self.bench.imports(self.cell.strategy)
            if not self.bench.fresh:
                self.bench.warmed(imports)  # importing is the run's cost, not this cell's
            built = self.bench.built(self.cell.model, imports)
            started = time.monotonic()
            failure = built.failure or self._converted_and_served(built, imports)
            duration = time.monotonic() - started
            self.columns["weights_digest"] = built.facts.get("weights_digest")
            self.details["build_seconds"] = dict(built.seconds)
        self.columns["duration_s"] = duration
        plan = self.bench.plan
        if failure is not None and not plan.lock:
            failure = not_installed(failure, self.bench.imports(self.cell.strategy) + self._runtime_imports())
        self._tell(failure)
        record = Record(
            combination=plan.combination,
            extension=plan.extension,
            model=self.cell.model,
            strategy=self.cell.strategy,
            device=self.cell.device,
            tier=plan.tier,
            outcome=failure.outcome if failure else Outcome.PASSED,
            stage=failure.stage if failure else Stage.MEASURE,
            model_digest=self.model_digest,
            strategy_digest=self.bench.registry.strategy_digest(split(self.cell.strategy)[0]),
            **self.columns,
        )
        return record, self.details

    def _tell(self, failure: Failure | None) -> None:
        """Columns that say what went wrong."""
        if failure is None:
            return
        text = normalise_paths(failure.error, self.folder)
        key = "difference" if failure.outcome is Outcome.MISMATCHED else "error"
        self.columns[key] = shorten(text)
        if failure.outcome is not Outcome.MISMATCHED:
            self.columns["error_type"] = failure.error_type
        if failure.outcome is not Outcome.NOT_APPLICABLE:
            self.columns["fingerprint"] = fingerprint(failure.error_type, text)
        self.details["error"] = text
        self.details["traceback"] = normalise_paths(failure.traceback, self.folder)

    def _converted_and_served(self, built: Built, imports: tuple[str, ...]) -> Failure | None:
        self.columns["noise_floor_mse"] = built.facts["noise_mse"]
        self.columns["probes_total"] = len(built.facts["names"]) - 1
        request = {
            "job": "convert",
            "model": self.cell.model,
            "strategy": self.cell.strategy,
            "built": str(built.folder),
            "folder": str(self._own_folder("convert")),
            "imports": self.bench.imports(self.cell.strategy, self.cell.model),
        }
        done = self.bench.work_in_child(request, imports)
        self._spent("convert", done)
        if done.failure:
            return done.failure
        assert done.trail.result is not None
        result = done.trail.result
        self.columns.update(convert_s=result["convert_s"], artifact_bytes=result["artifact_bytes"], **result["facts"])
        return self._served(built, result)

    def _own_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _spent(self, part: str, done: Done) -> None:
        seconds = done.trail.seconds()
        self.details["seconds"][part] = {**seconds, "whole": done.seconds}
        log = self.folder / part / LOG_FILE
        if done.failure and log.exists():
            self.details["log"] = normalise_paths(log.read_text(encoding="utf-8", errors="replace"), self.folder)[
                -8000:
            ]

    def _served(self, built: Built, artifact: Mapping[str, Any]) -> Failure | None:
        names, same = built.facts["names"], built.facts["same_shape"]
        sets = [i for i in range(len(names)) if same[i] or self.strategy.shapes == "dynamic"]
        self.columns["probes_skipped"] = len(names) - len(sets)
        launches: list[tuple[Done, list[float]]] = []
        for launch in range(self.bench.plan.policy.launches):
            folder = self._own_folder("serve" if launch == 0 else f"serve-{launch}")
            done, samples = self._launch(built, artifact, sets, folder)
            if launch == 0:
                self._spent("serve", done)
                self._memory(done.trail)
                failure = self._matched(built, done, sets, folder)
                if failure:
                    return failure
            elif done.failure:
                return done.failure
            launches.append((done, samples))
        self._latency([samples for _, samples in launches])
        return None

    def _runtime_imports(self) -> tuple[str, ...]:
        """What the serving process imports; a runtime that is not there, or raises, is told in that process."""
        entry = self.bench.registry.runtimes.get(self.strategy.runtime)
        if entry is None or entry.value is None:
            return ()
        own = self.bench.imports(None, self.cell.model) if entry.value.needs_module else ()
        return tuple(dict.fromkeys([*entry.value.imports, *own]))

    def _launch(
        self, built: Built, artifact: Mapping[str, Any], sets: Sequence[int], folder: Path
    ) -> tuple[Done, list[float]]:
        """One serving process to its end: what it left, and the raw samples in seconds."""
        path = self.bench.write_request(
            {
                "runtime": self.strategy.runtime,
                "imports": list(self._runtime_imports()),
                "model": self.cell.model,
                "kind": artifact["kind"],
                "artifact": artifact["path"],
                "device": self.cell.device,
                "built": str(built.folder),
                "input_names": built.facts["inputs"],
                "sets": list(sets),
                "measure_s": self.bench.plan.policy.measure_s,
                "batch": built.facts.get("batch", 0),
                "folder": str(folder),
            }
        )
        sampler = PeakSampler() if self.cell.device == "cuda" else None
        started = time.monotonic()
        ended = watch(start("serve", path, cwd=folder, environ=self.bench.environ), self.bench.limits, sampler)
        seconds = time.monotonic() - started
        trail = read_trail(folder)
        if sampler is not None:
            self.columns["gpu_peak_mb"], self.columns["gpu_source"] = sampler.result()
        failure = failure_of(trail, ended, self.bench.limits, fallback=Stage.LOAD)
        samples: list[float] = []
        benchmark = folder / BENCHMARK_FILE
        if failure is None and benchmark.exists() and benchmark.stat().st_size:
            samples = json.loads(benchmark.read_text(encoding="utf-8"))["benchmarks"][0]["stats"]["data"]
        return Done(trail, failure, seconds), samples

    def _memory(self, trail: Trail) -> None:
        for name in ("rss_base_mb", "rss_import_mb", "rss_load_mb", "load_s", "provider"):
            self.columns[name] = trail.fact(name)
        if trail.result is not None:
            self.columns["rss_peak_mb"] = trail.result.get("rss_peak_mb")
            if trail.result.get("session"):
                self.details["session"] = trail.result["session"]
                self.columns["service_rss_mb"] = trail.result["session"].get("service_rss_peak_mb")

    def _matched(self, built: Built, done: Done, sets: Sequence[int], folder: Path) -> Failure | None:
        """Hold saved outputs against native ones, example first; what the process died of comes after them."""
        own = built.facts["tolerance"]
        # On CUDA every framework here multiplies in TF32 by default, in convolutions at least.
        tolerance = match.tolerance_for(built.facts["noise_relative"], own=own, tf32=self.cell.device == "cuda")
        self.columns["tolerance"] = tolerance
        rejected = (done.trail.result or {}).get("rejected", {})
        failed: Failure | None = None
        figures: list[match.Errors] = []
        passed = 0
        for position, index in enumerate(sets):
            name, what = built.facts["names"][index], folder / f"outputs-{index}.npz"
            if not what.exists():
                refusal = rejected.get(str(index))
                if refusal and failed is None:
                    text = f"probe {name!r}: {refusal['error']}"
                    failed = Failure(
                        Outcome(refusal["outcome"]), Stage.PROBE, refusal["error_type"], text, refusal["traceback"]
                    )
                continue
            native = tensors.load(built.folder / f"native-{index}.npz")
            result = match.compare(tensors.load(what), native, tolerance)
            if result.errors and position == 0:
                figures.append(result.errors)
            if position > 0 and result.equal:
                passed += 1
            if not result.equal and (failed is None or position == 0):
                text = result.difference if position == 0 else f"probe {name!r}: {result.difference}"
                stage = Stage.MATCH if position == 0 else Stage.PROBE
                failed = Failure(Outcome.MISMATCHED, stage, "Mismatch", text)
            if result.outputs:
                self.details.setdefault("errors", {})[name] = [vars(errors) for errors in result.outputs]
        self._error_figures(figures)
        self._accuracy(built, folder)
        if (folder / f"outputs-{sets[0]}.npz").exists():
            self.columns["probes_passed"] = passed
        if failed is None or (done.failure and done.failure.stage.rank <= failed.stage.rank):
            return done.failure
        return failed

    def _accuracy(self, built: Built, folder: Path) -> None:
        """How many rows of the labelled data the artifact gets right, beside the native model."""
        predictions = folder / "predictions.npz"
        self.columns["accuracy_native"] = built.facts.get("accuracy")
        if predictions.exists():
            (labels,), (classes,) = tensors.load(built.folder / "labels.npz"), tensors.load(predictions)
            self.columns["accuracy_converted"] = float((classes == labels).mean())

    def _error_figures(self, figures: Sequence[match.Errors]) -> None:
        for figure in figures:
            self.columns.update(vars(figure))
            self.columns["grade"] = match.grade(figure.mse)

    def _latency(self, launches: Sequence[Sequence[float]]) -> None:
        """Median over launches of each launch's median, in milliseconds."""
        timed = [sorted(samples) for samples in launches if samples]
        if not timed:
            return
        quartiles = [statistics.quantiles(samples, n=4, method="inclusive") for samples in timed]
        self.columns["latency_ms"] = statistics.median(statistics.median(s) for s in timed) * 1000
        self.columns["latency_iqr_ms"] = statistics.median(q[2] - q[0] for q in quartiles) * 1000
        self.columns["launches"] = len(timed)
        self.columns["iterations"] = sum(len(samples) for samples in timed)
        self.details["samples_s"] = [list(samples) for samples in launches]
