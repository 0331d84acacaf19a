"""Serving processes that really run, each with a runtime of the test's own, and what becomes of their cells."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench.answers import hold_against
from harness.bench.children import Children, Done
from harness.bench.failure import Failure
from harness.bench.plan import Policy
from harness.bench.progress import Progress
from harness.bench.requests import AFTER_FILE, BENCHMARK_FILE, ServeRequest
from harness.bench.serve import Serving

RUNTIME = """
import ctypes, os, sys, time
from harness.bench import Runtime

{top}


class Loaded:
    provider = "numpy"

    def __init__(self, weight):
        self.weight = weight
        self.calls = 0
        self.kept = []

    def prepare(self, inputs):
        import numpy as np

        def call():
            self.calls += 1
            x = inputs["x"]
            y = x @ self.weight.T
            {call}
            return y

        return call

    def outputs(self, result):
        return [result]

    {more}


def load(artifact, device, threads, build):
    import numpy as np

    {load}
    return Loaded(np.load(artifact.path))


RUNTIME = Runtime(summary="numpy", serves="array", load=load, imports=("numpy",), needs_module={needs_module})
"""

CRASH = "ctypes.string_at(0)"
# The example is the first call, the two probes the next, and what comes then is warmed up and timed.
EXECUTING, PROBING, MEASURING = "self.calls == 1", "self.calls == 2", "self.calls == 7"
LIMITS = Policy(timeout_s=30.0, memory_limit_mb=1000, measure_s=0.01, threads=1)
HURRIED = replace(LIMITS, timeout_s=4.0)

Ends = tuple[str, str, str | None]
PASSED: Ends = ("passed", "measure", None)
UNTIMED: Ends = ("passed", "probe", None)
NO_FACT: Ends = ("failed", "probe", "TypeError")


@dataclass(frozen=True)
class Case:
    """What a runtime does, the end of its cell (outcome, stage, error type), and a part of what is told."""

    ends: Ends
    told: str = ""
    top: str = ""
    load: str = "pass"
    call: str = "pass"
    more: str = ""
    policy: Policy = LIMITS
    timed: bool = True
    imports: tuple[str, ...] = ("numpy",)


def facts(value: str, ends: Ends, told: str = "") -> Case:
    """Facts as the process tells them that is not timed."""
    return Case(ends, told, more=f"facts = lambda self: {value}", timed=False)


def wrong(call: str, told: str, stage: str = "match") -> Case:
    return Case(("mismatched", stage, "Mismatch"), told, call=call)


CASES = {
    "good": Case(PASSED),
    # It ends violently.
    "crash-at-load": Case(("crashed", "load", "SIGSEGV"), load=CRASH),
    "crash-at-execute": Case(("crashed", "execute", "SIGSEGV"), call=f"if {EXECUTING}: {CRASH}"),
    "crash-at-probe": Case(("crashed", "probe", "SIGSEGV"), call=f"if {PROBING}: {CRASH}"),
    "crash-at-measure": Case(("crashed", "measure", "SIGSEGV"), call=f"if {MEASURING}: {CRASH}"),
    "crash-when-let-go": Case(("crashed", "measure", "SIGSEGV"), more=f"__del__ = lambda self: {CRASH}"),
    "crash-as-pytest-ends": Case(
        ("crashed", "measure", "SIGSEGV"),
        load=f"import pytest_benchmark.session as s; s.BenchmarkSession.handle_saving = lambda self: {CRASH}",
    ),
    "pytest-fails": Case(
        ("failed", "measure", "ZeroDivisionError"),
        load="import pytest_benchmark.session as s; s.BenchmarkSession.handle_saving = lambda self: 1 / 0",
    ),
    "crash-after-the-result": Case(("crashed", "measure", "SIGSEGV"), load=f"os._exit = lambda code: {CRASH}"),
    "exit-at-measure": Case(("crashed", "measure", "NoResult"), call=f"if {MEASURING}: os._exit(0)"),
    "exit-politely": Case(("failed", "measure", "SystemExit"), "SystemExit(0)", call=f"if {MEASURING}: sys.exit(0)"),
    "raise-at-measure": Case(("failed", "measure", "KeyError"), "lost", call=f"if {MEASURING}: raise KeyError('lost')"),
    "hang-at-measure": Case(
        ("timed-out", "measure", "Timeout"), call=f"if {MEASURING}: time.sleep(99)", policy=HURRIED
    ),
    "leak-at-measure": Case(
        ("out-of-memory", "measure", "MemoryLimit"),
        call="if self.calls > 3: self.kept.append(b'x' * 2**26); time.sleep(0.05)",
        policy=replace(LIMITS, measure_s=60.0),
    ),
    "slower-than-the-limit": Case(("timed-out", "execute", "Timeout"), call="time.sleep(5)", policy=HURRIED),
    # It is slow, or fast, or has no clock.
    "slow": Case(PASSED, call="time.sleep(0.2)"),
    "clock-replaced": Case(PASSED, load="time.perf_counter = time.monotonic = lambda: 1.0"),
    # It answers wrongly.
    "dtype": wrong("y = y.astype('float64')", "output: dtype float64 instead of float32"),
    "shape": wrong("y = y[:, :3]", "output: shape [2, 3] instead of [2, 4]"),
    "not-a-number": wrong("y[0, 1] = float('nan')", "output: NaN at [0, 1] only after conversion"),
    "alias-of-the-input": wrong("y = x[:, :4]", "output: values differ"),
    "another-each-time": wrong("y = y * (1 + 0.01 * (self.calls - 1))", "probe 'other values': output", "probe"),
    "cached": wrong(
        "y = (self.kept or [y])[0]; self.kept = [y]", "probe 'other values': output: values differ", "probe"
    ),
    "mutated-inputs": wrong("x[...] = 1", "while measuring: output: values differ", "measure"),
    "only-while-measuring": wrong("if self.calls > 3: y = y * 2", "while measuring: output: values differ", "measure"),
    "one-buffer-for-all": Case(
        PASSED,
        call="self.kept = self.kept or [np.empty(64, 'f4')]; k = self.kept[0][: y.size]; k[:] = y.ravel(); "
        "y = k.reshape(y.shape)",
    ),
    "count": Case(
        ("mismatched", "match", "Mismatch"),
        "2 outputs instead of 1",
        more="outputs = lambda self, result: [result, result]",
    ),
    "no-array": Case(
        ("failed", "execute", "TypeError"), "no array of numbers", more="outputs = lambda self, result: [{1: result}]"
    ),
    "refuses-a-probe": Case(
        ("failed", "probe", "ValueError"), "probe 'more rows': two", call="if len(x) > 2: raise ValueError('two')"
    ),
    # It says what cannot be.
    "reports-cuda": Case(
        ("failed", "execute", "WrongDeviceError"),
        "the cell's device is cpu, and the runtime reports that CUDAExecutionProvider executed it",
        more="provider = 'CUDAExecutionProvider'",
    ),
    "reports-cuda-late": Case(
        ("failed", "probe", "WrongDeviceError"),
        "GPU:0",
        more="def facts(self): self.provider = 'GPU:0'; return {}",
        timed=False,
    ),
    "reports-no-provider": Case(("failed", "execute", "TypeError"), "provider is None", more="provider = None"),
    "facts-of-text": facts("{'rss_mb': 'much'}", NO_FACT, "= 'much' (str), and it must be a finite"),
    "facts-not-finite": facts("{'a': float('nan')}", NO_FACT, "= nan (float)"),
    "facts-of-an-object": facts("{'a': self}", NO_FACT, "(Loaded)"),
    "facts-without-names": facts("{1: 1}", NO_FACT, "1 as the name"),
    "facts-no-mapping": facts("[1]", NO_FACT, "returned list"),
    "facts-that-raise": facts("1 / 0", ("failed", "probe", "ZeroDivisionError"), "zero"),
    "facts": facts("{'a': 1, 'b': 0.5, 'cpu_nodes': 3, 'tf32': 'off'}", UNTIMED),
    "facts-that-raise-once-timed": Case(("failed", "measure", "ZeroDivisionError"), more="facts = lambda self: 1 / 0"),
    # It cannot be had.
    "file-raises": Case(("failed", "load", "ImportError"), "OSError: no disk", top="raise OSError('no disk')"),
    "import-missing": Case(
        ("failed", "import", "ModuleNotFoundError"), "nothing_like_it", imports=("numpy", "nothing_like_it")
    ),
}

# What dies before this is held against nothing.
NOTHING_SAVED = {
    "crash-at-load",
    "crash-at-execute",
    "slower-than-the-limit",
    "file-raises",
    "import-missing",
    "no-array",
}


def serve(
    built: Path, folder: Path, case: Case, *, model_file: str = "", needs_module: bool = False, device: str = "cpu"
) -> Done:
    """One serving process, as the bench starts it."""
    served = folder / "serve"
    served.mkdir(parents=True)
    runtime = folder / "runtime.py"
    parts = {"top": case.top, "load": case.load, "call": case.call, "more": case.more}
    runtime.write_text(RUNTIME.format(**parts, needs_module=needs_module), encoding="utf-8")
    request = ServeRequest(
        folder=str(served),
        imports=case.imports,
        runtime="own",
        runtime_file=str(runtime),
        kind="array",
        artifact=str(built / "weight.npy"),
        device=device,
        built=str(built),
        input_names=("x",),
        sets=(0, 1, 2),
        measure_s=case.policy.measure_s if case.timed else 0.0,
        model_file=model_file,
    )
    children = Children(folder, case.policy, device, marker=str(folder), fresh=True)
    try:
        return children.serve(request, None)
    finally:
        children.close()


def result_of(done: Done) -> Mapping[str, Any]:
    assert done.trail.result is not None
    return done.trail.result


@dataclass(frozen=True)
class Served:
    """What a process left, the failure it came to, and where."""

    done: Done
    failure: Failure | None
    folder: Path


Ran = Callable[[str], Served]


@pytest.fixture(scope="module")
def ran(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A case, run once."""

    @functools.cache
    def run(name: str) -> Served:
        folder = tmp_path_factory.mktemp(name)
        done = serve(built, folder, CASES[name])
        rejected = (done.trail.result or {}).get("rejected", {})
        names = ["example", "other values", "more rows"]
        facts = {"names": names, "paths": [["output"]] * 3, "numbers": [[]] * 3}
        answered = hold_against(built, folder / "serve", facts, (0, 1, 2), 1e-4, rejected).failure
        died = done.failure
        earlier = died is not None and (answered is None or died.stage.rank <= answered.stage.rank)
        return Served(done, died if earlier else answered, folder / "serve")

    return run


@pytest.mark.parametrize("name", CASES)
def test_what_a_runtime_does_becomes_its_outcome(ran: Ran, name: str) -> None:
    case, served = CASES[name], ran(name)
    failure = served.failure
    passed = PASSED if case.timed else UNTIMED
    ends = passed if failure is None else (failure.outcome.value, failure.stage.value, failure.error_type)
    assert ends == case.ends, failure or served.done
    assert case.told in (failure.error if failure else "")


@pytest.mark.parametrize("name", sorted(set(CASES) - NOTHING_SAVED))
def test_the_examples_outputs_are_kept_whatever_comes_after(ran: Ran, name: str) -> None:
    assert (ran(name).folder / "outputs-0.npz").exists()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.ends == PASSED])
def test_what_passes_was_measured(ran: Ran, name: str) -> None:
    served = ran(name)
    samples = json.loads((served.folder / BENCHMARK_FILE).read_text(encoding="utf-8"))["benchmarks"][0]["stats"]["data"]
    assert len(samples) >= 5
    assert min(samples) > 0
    assert (served.folder / AFTER_FILE).exists()
    trail = served.done.trail
    rss = [trail.fact(fact) for fact in ("rss_base_mb", "rss_import_mb", "rss_load_mb")]
    assert rss == sorted(rss)
    assert rss[0] < result_of(served.done)["rss_peak_mb"] < 1000
    assert trail.fact("provider") == "numpy"


def test_a_fast_call_is_timed_often_and_a_slow_one_seldom(ran: Ran) -> None:
    def rounds(name: str) -> int:
        benchmark = json.loads((ran(name).folder / BENCHMARK_FILE).read_text(encoding="utf-8"))["benchmarks"][0]
        return int(benchmark["stats"]["rounds"])

    def timing(name: str) -> Mapping[str, Any]:
        told: Mapping[str, Any] = result_of(ran(name).done)["timing"]
        return told

    assert 50 < rounds("good") <= 2000
    assert timing("good")["calls"] > 10, "a round of microseconds would time the clock"
    assert (rounds("slow"), timing("slow")["calls"]) == (5, 1)
    assert timing("slow")["steady"] is None, "too slow for so short a time to be told"


def test_facts_come_with_the_result(ran: Ran) -> None:
    assert result_of(ran("facts").done)["facts"] == {"a": 1, "b": 0.5, "cpu_nodes": 3, "tf32": "off"}
    assert result_of(ran("good").done)["facts"] == {}


def test_a_peak_that_cannot_be_told_from_loading_is_not_told(built: Path, tmp_path: Path) -> None:
    """Where the kernel does not let a process count its peak anew, an earlier one hides that of serving."""
    fixed = "from harness.bench import memory; memory.reset_peak = lambda: False; "
    hidden = serve(built, tmp_path / "hidden", Case(PASSED, load=f"{fixed}held = b'x' * 2**28; del held"))
    assert hidden.failure is None
    assert result_of(hidden)["rss_peak_mb"] is None
    grown = "self.kept = self.kept or [b'x' * 2**28]"
    seen = serve(built, tmp_path / "seen", Case(PASSED, load=fixed, call=grown))
    assert result_of(seen)["rss_peak_mb"] > 256


@pytest.mark.parametrize(("provider", "passes"), [("CUDAExecutionProvider", True), ("CPUExecutionProvider", False)])
def test_a_cuda_cell_that_the_cpu_executed_fails(built: Path, tmp_path: Path, provider: str, passes: bool) -> None:
    case = Case(
        PASSED, more=f"provider = {provider!r}; facts = lambda self: {{'tf32': 'on', 'cpu_nodes': 0}}", timed=False
    )
    done = serve(built, tmp_path / "cuda", case, device="cuda")
    if passes:
        assert (done.failure, result_of(done)["facts"]) == (None, {"tf32": "on", "cpu_nodes": 0})
        return
    assert done.failure is not None
    assert (done.failure.stage.value, done.failure.error_type) == ("execute", "WrongDeviceError")
    assert "device is cuda, and the runtime reports that CPUExecutionProvider executed it" in done.failure.error


def test_a_clock_that_stands_still_ends_the_cell_at_once(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    # Before anything else of the process runs, the one that times among it.
    text = "import time\ndef perf_counter():\n    return 1.0\ntime.perf_counter = perf_counter\n"
    (modules / "sitecustomize.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(modules))
    failure = serve(built, tmp_path / "frozen", Case(PASSED)).failure
    assert failure is not None
    assert (failure.outcome.value, failure.stage.value, failure.error_type) == ("failed", "measure", "FrozenClockError")


def test_a_pytest_that_fails_around_the_serving_is_no_pass(tmp_path: Path) -> None:
    request = ServeRequest(
        folder=str(tmp_path),
        runtime="",
        runtime_file="",
        kind="",
        artifact="",
        device="cpu",
        built="",
        input_names=(),
        sets=(),
        measure_s=1.0,
    )
    with pytest.raises(RuntimeError, match="pytest ended with exit code 5 around the serving"):
        Serving(request, Progress(tmp_path)).result(5)


HEAVY = "held = bytearray(b'x') * (96 * 2**20)\n"
MODEL = """
import pathlib, heavy
pathlib.Path({mark!r}).write_text("executed")
from harness.bench import Model, uniform
MODEL = Model(
    summary="", family="", build=lambda: None, example=lambda: {{"x": uniform((2, 8), seed="a")}}, probes={{}}
)
"""


def test_a_models_file_is_executed_only_for_a_runtime_that_needs_it(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "heavy.py").write_text(HEAVY, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    mark, model = tmp_path / "mark", tmp_path / "model.py"
    model.write_text(MODEL.format(mark=str(mark)), encoding="utf-8")
    case = facts("{'loaded': sum(name.startswith('harness_loaded_') for name in sys.modules)}", UNTIMED)
    without = serve(built, tmp_path / "without", case)
    beside = serve(built, tmp_path / "beside", case, model_file=str(model))
    assert not mark.exists()
    grown = beside.trail.fact("rss_import_mb") - without.trail.fact("rss_import_mb")
    assert abs(grown) < 20
    for done in (without, beside):
        assert done.failure is None
        assert result_of(done)["facts"] == {"loaded": 1}
    needed = serve(built, tmp_path / "needed", case, model_file=str(model), needs_module=True)
    assert needed.failure is None
    assert result_of(needed)["facts"] == {"loaded": 2}
    assert mark.exists()
    assert needed.trail.fact("rss_load_mb") - beside.trail.fact("rss_load_mb") > 90
