"""The serving process: imports one runtime, loads one artifact, runs it, and is timed by pytest-benchmark.

It is a deployment in small: whatever converted the model was never imported here, so memory and latency are the
runtime's own. Outputs are saved before timing begins, so that a crash while timing loses nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.bench import memory, tensors
from harness.bench.definitions import Artifact, Runtime, Servable
from harness.bench.plan import Plan
from harness.bench.progress import Progress, described
from harness.bench.registry import Registry, get
from harness.bench.stages import Stage

BENCHMARK_FILE = "benchmark.json"

_WARM_UP_CALLS = 3
_FEWEST_ROUNDS = 5
_MOST_ROUNDS = 2000


class Serving:
    """One artifact's way through load, execute, probe and measure; a pytest plugin that hands itself to the test."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = request
        self.folder = Path(request["folder"])
        self.progress = Progress(self.folder)

    @pytest.fixture
    def serving(self) -> Serving:
        """This object."""
        return self

    def pytest_benchmark_generate_machine_info(self) -> dict[str, Any]:
        """The run's own record describes the machine; asking for it here takes seconds."""
        return {}

    def pytest_benchmark_generate_commit_info(self) -> dict[str, Any]:
        """The record holds digests of what ran."""
        return {}

    def run(self, benchmark: Any) -> None:
        """Every stage; the result is written whatever happens."""
        try:
            result = self._stages(benchmark)
        except BaseException as error:  # noqa: BLE001 - whatever a runtime raises is this cell's result
            self.progress.fail(error)
        else:
            self.progress.finish(**result)

    def _stages(self, benchmark: Any) -> dict[str, Any]:
        request = self.request
        registry = Plan.from_json(request["plan"]).registry()
        runtime = get(registry.runtimes, "runtime", request["runtime"]).declared
        self.progress.enter(Stage.IMPORT, rss_base_mb=memory.rss_mb())
        for name in request["imports"]:
            importlib.import_module(name)
        self.progress.enter(Stage.LOAD, rss_import_mb=memory.rss_mb())
        servable, load_s = self._load(runtime, registry)
        sets = [
            dict(zip(request["input_names"], tensors.load(Path(request["built"]) / f"inputs-{index}.npz"), strict=True))
            for index in request["sets"]
        ]
        peak_is_own = memory.reset_peak()
        self.progress.enter(Stage.EXECUTE, rss_load_mb=memory.rss_mb(), load_s=load_s, provider=servable.provider)
        self._execute(servable, sets[0], request["sets"][0])
        self.progress.enter(Stage.PROBE)
        rejected = {}
        for index, inputs in zip(request["sets"][1:], sets[1:], strict=True):
            try:
                self._execute(servable, inputs, index)
            except Exception as error:  # noqa: BLE001, PERF203 - a probe that the artifact refuses is a finding, told apart
                rejected[str(index)] = described(error)
        if request["batch"]:
            self._predict(servable)
        self.progress.enter(Stage.MEASURE)
        call = servable.prepare(sets[0])
        _measure(benchmark, call, request["measure_s"])
        peak_mb = memory.peak_rss_mb()
        facts = servable.facts() if hasattr(servable, "facts") else {}
        return {"rejected": rejected, "rss_peak_mb": peak_mb, "rss_peak_since_load": peak_is_own, "session": facts}

    def _load(self, runtime: Runtime, registry: Registry) -> tuple[Servable, float]:
        request = self.request
        builder = None
        if runtime.needs_module:
            model = get(registry.models, "model", request["model"]).declared

            def builder() -> Any:
                return tensors.unfilled(model)

        artifact = Artifact(request["kind"], Path(request["artifact"]))
        started = time.perf_counter()
        servable = runtime.load(artifact, request["device"], request["threads"], builder)
        return servable, time.perf_counter() - started

    def _predict(self, servable: Servable) -> None:
        """Serve the labelled data in batches of the example's size, and keep the predicted classes."""
        import numpy as np

        rows = self.request["batch"]
        arrays = tensors.load(Path(self.request["built"]) / "labelled.npz")
        inputs = dict(zip(self.request["input_names"], arrays, strict=True))
        classes = []
        for start in range(0, len(arrays[0]), rows):
            batch = {name: value[start : start + rows] for name, value in inputs.items()}
            classes.append(servable.outputs(servable.prepare(batch)())[0].argmax(-1))
        tensors.save(self.folder / "predictions.npz", [np.concatenate(classes)])

    def _execute(self, servable: Servable, inputs: Mapping[str, Any], index: int) -> None:
        outputs = servable.outputs(servable.prepare(inputs)())
        tensors.save(self.folder / f"outputs-{index}.npz", outputs)


def _measure(benchmark: Any, call: Any, measure_s: float) -> None:
    """Warm up until first-call costs are gone, then time as many calls as fit into `measure_s`."""
    started = time.perf_counter()
    spent: list[float] = []
    while len(spent) < _WARM_UP_CALLS or time.perf_counter() - started < measure_s / 2:
        before = time.perf_counter()
        call()
        spent.append(time.perf_counter() - before)
        if time.perf_counter() - started > measure_s * 2:
            break  # so slow that one call more would cost more than it tells
    # The median, not the fastest: on a busy machine a few fast calls would ask for far too many rounds.
    typical = max(statistics.median(spent), 1e-7)
    rounds = min(_MOST_ROUNDS, max(_FEWEST_ROUNDS, int(measure_s / typical)))
    benchmark.pedantic(call, rounds=rounds, iterations=1, warmup_rounds=0)


def main(arguments: Sequence[str]) -> None:
    """Serve one request under pytest, and end the process without running anyone's exit handlers."""
    request = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    # What tools leave in the temporary folder goes with the cell: nobody runs their exit handlers.
    tempfile.tempdir = request["folder"]
    folder = Path(request["folder"])
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    here = Path(__file__).parent
    pytest.main(
        [
            str(here / "serving_case.py"),
            f"-c{here / 'pytest.ini'}",
            "-q",
            "--assert=plain",
            "--capture=no",  # a process that crashes would take what it printed with it
            *(f"-p{name}" for name in ("pytest_benchmark.plugin", "no:cacheprovider", "no:junitxml", "no:doctest")),
            f"--benchmark-json={folder / BENCHMARK_FILE}",
        ],
        plugins=[Serving(request)],
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
