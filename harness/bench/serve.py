"""The serving process: imports one runtime, loads one artifact, runs it, and may be timed by pytest-benchmark.

It is a deployment in small: whatever converted the model was never imported here, so memory and latency are the
runtime's own. It executes the runtime's file and, for a runtime that serves PyTorch itself, the model's; no other.

Outputs are saved before timing begins, so that a crash while timing loses nothing, and once more as the last timed
call returned them, so that a runtime that answers wrongly only when it is asked often is seen. The result is written
last of all: what dies after its work was done has no result either.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter  # bound before a runtime is loaded, which may put another in its place
from typing import Any

import pytest

from harness.bench import memory, pacing, tensors
from harness.bench.binding import from_json
from harness.bench.child import work_on
from harness.bench.definitions import Artifact, Model, Runtime, Servable
from harness.bench.progress import Progress, described
from harness.bench.registry import Entry, load
from harness.bench.requests import AFTER_FILE, BENCHMARK_FILE, BUILT_FILE, TURN, ServeRequest
from harness.bench.stages import Stage

# What a provider's name says of the device it runs on; other words are a user's runtime's own business.
_DEVICE_WORDS = {"cuda": re.compile("cuda|gpu|tensorrt", re.IGNORECASE), "cpu": re.compile("cpu", re.IGNORECASE)}


class WrongDeviceError(RuntimeError):
    """Another device executed the artifact than the cell is of."""


def check_provider(provider: Any, device: str) -> str:
    """The provider's name, unless it speaks of the one device where the cell is of the other.

    Raises `WrongDeviceError` then, and `TypeError` where it is no name. One that names both devices or neither passes.
    """
    if not isinstance(provider, str) or not provider:
        msg = f"provider is {provider!r:.80}, and must be the name of what executed the artifact"
        raise TypeError(msg)
    named = [known for known, words in _DEVICE_WORDS.items() if words.search(provider)]
    if len(named) == 1 and named[0] != device:
        msg = f"the cell's device is {device}, and the runtime reports that {provider} executed it"
        raise WrongDeviceError(msg)
    return provider


def checked_facts(value: Any) -> dict[str, int | float | str]:
    """What `Servable.facts()` returned, if a table can hold it; raises `TypeError` with what came where not.

    Facts are finite numbers by name; `tf32` alone is a word, "on" or "off", `cpu_nodes` is a count, and `host_copies`
    0 or 1.
    """
    if not isinstance(value, Mapping):
        msg = f"facts() returned {type(value).__name__}, and must return a dict of name to number"
        raise TypeError(msg)
    for name, fact in value.items():
        if not isinstance(name, str):
            msg = f"facts() returned {name!r:.80} as the name of a fact, and a name must be a str"
            raise TypeError(msg)
        if name == "tf32":
            fits, wanted = fact in ("on", "off"), "'on' or 'off'"
        elif name == "cpu_nodes":
            fits, wanted = type(fact) is int and fact >= 0, "a count"
        elif name == "host_copies":
            fits, wanted = type(fact) is int and fact in (0, 1), "0 or 1"
        else:
            fits, wanted = type(fact) in (int, float) and math.isfinite(fact), "a finite int or float"
        if not fits:
            msg = f"facts() returned {name!r:.80} = {fact!r:.80} ({type(fact).__name__}), and it must be {wanted}"
            raise TypeError(msg)
    return dict(value)


class Serving:
    """One artifact's way through load, execute, probe and measure; a pytest plugin that hands itself to the test."""

    def __init__(self, request: ServeRequest, progress: Progress) -> None:
        self.request = request
        self.progress = progress
        self.folder = Path(request.folder)
        self._result: Mapping[str, Any] | None = None
        self._error: BaseException | None = None

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
        """Every stage. What comes of it is kept until pytest has written its own files."""
        try:
            self._result = self._stages(benchmark)
        except BaseException as error:  # noqa: BLE001 - whatever a runtime raises is this cell's result
            self._error = error

    def result(self, exit_code: int) -> Mapping[str, Any]:
        """What came of it, once pytest has ended with `exit_code`; raises what ended the serving."""
        if self._error is not None:
            raise self._error
        if self._result is None or exit_code:
            msg = f"pytest ended with exit code {exit_code} around the serving; the end of the log says more"
            raise RuntimeError(msg)
        return self._result

    def _stages(self, benchmark: Any) -> dict[str, Any]:
        request = self.request
        servable, load_s = self._loaded()
        sets = [self._inputs(f"inputs-{index}.npz") for index in request.sets]
        peak_is_own, peak_before_mb = memory.reset_peak(), memory.peak_rss_mb()
        self.progress.enter(Stage.EXECUTE, rss_load_mb=memory.rss_mb(), load_s=load_s)
        self._execute(servable, sets[0], request.sets[0])
        # Asked once it has executed: before, nobody could know what would.
        provider = check_provider(servable.provider, request.device)
        self.progress.enter(Stage.PROBE, provider=provider)
        rejected = {}
        for index, inputs in zip(request.sets[1:], sets[1:], strict=True):
            try:
                self._execute(servable, inputs, index)
            except Exception as error:  # noqa: BLE001, PERF203 - a probe that the artifact refuses is a finding, told apart
                rejected[str(index)] = described(error)
        if request.batch:
            self._predict(servable)
        if not request.measure_s:
            memory_told = _memory(counted=peak_is_own, before_mb=peak_before_mb)
            facts = self._facts(servable)
            # Some know only now, when they have looked for it where it cost no time that was measured.
            self.progress.enter(Stage.PROBE, provider=check_provider(servable.provider, request.device))
            return {"rejected": rejected, **memory_told, "facts": facts}
        self.progress.enter(Stage.MEASURE)
        answer, timing = _measure(benchmark, servable.prepare(sets[0]), request.measure_s)
        memory_told = _memory(counted=peak_is_own, before_mb=peak_before_mb)
        tensors.save(self.folder / AFTER_FILE, servable.outputs(answer))
        return {"rejected": rejected, **memory_told, "timing": timing, "facts": self._facts(servable)}

    def _facts(self, servable: Servable) -> dict[str, int | float | str]:
        asked = getattr(servable, "facts", None) if self.request.asks_facts else None
        return checked_facts(asked()) if asked is not None else {}

    def ready(self) -> tuple[Servable, dict[str, Any]]:
        """The artifact, loaded, and the inputs of the first set, which it has executed; its outputs are saved."""
        servable, load_s = self._loaded()
        index = self.request.sets[0]
        inputs = self._inputs(f"inputs-{index}.npz")
        self.progress.enter(Stage.EXECUTE, rss_load_mb=memory.rss_mb(), load_s=load_s)
        self._execute(servable, inputs, index)
        return servable, inputs

    def _loaded(self) -> tuple[Servable, float]:
        runtime = self._import()
        if self.request.in_turn:
            self._wait_for_turn()
        self.progress.enter(Stage.LOAD, rss_import_mb=memory.rss_mb())
        return self._load(runtime.declared)

    def _import(self) -> Entry[Runtime]:
        """Import what the runtime needs, and its own file; what the file raised is told when it is to load."""
        request = self.request
        self.progress.enter(Stage.IMPORT, rss_base_mb=memory.rss_mb())
        for name in request.imports:
            importlib.import_module(name)
        return load(Path(request.runtime_file), "RUNTIME", Runtime)

    def _wait_for_turn(self) -> None:
        with (self.folder / TURN).open("rb") as turn:  # which is there once somebody asks whether it has imported
            if not turn.read(1):
                msg = "nobody gives turns any more"
                raise RuntimeError(msg)

    def _load(self, runtime: Runtime) -> tuple[Servable, float]:
        request = self.request
        builder = None
        if runtime.needs_module:
            model = load(Path(request.model_file), "MODEL", Model).declared
            built = json.loads((Path(request.built) / BUILT_FILE).read_text(encoding="utf-8"))
            builder = tensors.ModuleBuilder(model, from_json(built["binding"]))
        artifact = Artifact(request.kind, Path(request.artifact))
        started = perf_counter()
        servable = runtime.load(artifact, request.device, request.threads, builder)
        return servable, perf_counter() - started

    def _inputs(self, name: str) -> dict[str, Any]:
        """Inputs that the build left, by the names that artifacts have them under."""
        arrays = tensors.load(Path(self.request.built) / name)
        return dict(zip(self.request.input_names, arrays, strict=True))

    def _predict(self, servable: Servable) -> None:
        """Serve the labelled data in batches of the example's size, and keep the predicted classes."""
        import numpy as np

        rows = self.request.batch
        inputs = self._inputs("labelled.npz")
        classes = []
        for start in range(0, len(next(iter(inputs.values()))), rows):
            batch = {name: value[start : start + rows] for name, value in inputs.items()}
            classes.append(servable.outputs(servable.prepare(batch)())[0].argmax(-1))
        tensors.save(self.folder / "predictions.npz", [np.concatenate(classes)])

    def _execute(self, servable: Servable, inputs: Mapping[str, Any], index: int) -> None:
        outputs = servable.outputs(servable.prepare(inputs)())
        tensors.save(self.folder / f"outputs-{index}.npz", outputs)


def _memory(*, counted: bool, before_mb: float) -> dict[str, float | str | None]:
    """The peak while the artifact was used, and where it is from.

    None where the kernel could not count anew (not `counted`), and it was higher before.
    """
    peak_mb = memory.peak_rss_mb()
    if counted:
        return {"rss_peak_mb": peak_mb, "rss_source": "VmRSS; the peak is VmHWM since loading"}
    if peak_mb > before_mb:
        return {"rss_peak_mb": peak_mb, "rss_source": "VmRSS; the peak is VmHWM, above that of loading"}
    return {"rss_peak_mb": None, "rss_source": "VmRSS; no peak: it is below that of loading, and cannot be reset here"}


def _measure(benchmark: Any, call: Any, measure_s: float) -> tuple[Any, dict[str, Any]]:
    """Warm up until calls are steady, then time as many rounds as fit into `measure_s` seconds.

    Returns what the last timed call returned, and how it was timed. Raises `FrozenClockError` where no call took any
    time at all.
    """
    warm = pacing.warm_up(call, measure_s=measure_s)
    rounds = pacing.rounds_for(warm.call_s, measure_s)
    others = pacing.Busyness()
    of_calls = pacing.round_of(call, rounds.calls)
    answer = benchmark.pedantic(of_calls, rounds=rounds.rounds, iterations=1, warmup_rounds=0)
    busy_cores = others.share()
    spent = list(benchmark.stats.stats.data)
    pacing.check_clock(spent)
    return answer, {
        "calls": rounds.calls,
        "warm_up_s": warm.seconds,
        "steady": warm.steady,
        "drift": pacing.drift_of(spent),
        "busy_cores": busy_cores,
    }


def main(folder: Path) -> None:
    """Serve the request in `folder` under pytest, and end the process without running anyone's exit handlers."""
    work_on(folder, ServeRequest, _served)


def _served(request: ServeRequest, progress: Progress) -> None:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    here = Path(__file__).parent
    serving = Serving(request, progress)
    exit_code = pytest.main(
        [
            str(here / "serving_case.py"),
            f"-c{here / 'pytest.ini'}",
            "-q",
            "--assert=plain",
            "--capture=no",  # a process that crashes would take what it printed with it
            *(f"-p{name}" for name in ("pytest_benchmark.plugin", "no:cacheprovider", "no:junitxml", "no:doctest")),
            f"--benchmark-json={Path(request.folder) / BENCHMARK_FILE}",
        ],
        plugins=[serving],
    )
    # Last of all: whoever is killed after this has no work left to do.
    progress.finish(**serving.result(int(exit_code)))
