"""Cells from end to end without any framework: a stand-in for torch, and steps and a runtime of the test's own."""

from __future__ import annotations

import functools
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.attempts.settling import table_of
from harness.bench.attempt import Attempt, State
from harness.bench.cell import Cells
from harness.bench.errors import DiskFullError, InfrastructureError
from harness.bench.plan import Cell, Plan, Policy, expand
from harness.bench.record import Record
from harness.bench.registry import discover

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("stand_in")

MODEL = """
from harness.bench import Model, uniform


def build():
    import torch

    return torch.nn.Linear(8, 4)


MODEL = Model(
    summary="a linear layer",
    family="test",
    build=build,
    example=lambda: {"x": uniform((2, 8), seed="example")},
    probes={
        "other values": lambda: {"x": uniform((2, 8), seed="other")},
        "more rows": lambda: {"x": uniform((3, 8), seed="rows")},
    },
    dynamic={"x": {0: "batch"}},
)
"""

STEP = """
from harness.bench import Artifact, NotApplicable, Step


def run(context, source):
    import os, sys, time
    import numpy as np

    weight = context.state()["weight"]
    path = context.folder / "weight.npy"
    facts = {{}}
    {body}
    np.save(path, weight)
    return Artifact("array", path, facts)


STEP = Step(summary="keeps the weight", run=run, produces="array", imports={imports})
"""

STRATEGY = """
from harness.bench import Strategy

STRATEGY = Strategy(summary="of the test", steps=({name!r},), runtime={runtime!r}, shapes={shapes!r})
"""

RUNTIME = """
from harness.bench import Runtime


class Session:
    provider = "numpy"

    def __init__(self, weight):
        self.weight = weight

    def prepare(self, inputs):
        return lambda: inputs["x"] @ self.weight.T

    def outputs(self, result):
        return [result]


def load(artifact, device, threads, build):
    import numpy as np

    return Session(np.load(artifact.path))


RUNTIME = Runtime(summary="numpy", serves="array", load=load, imports=("numpy",))
"""


@dataclass(frozen=True)
class Case:
    """What a step does, and what becomes of its cell: outcome, stage, error type, and a part of what is told."""

    body: str
    ends: tuple[str, str, str | None]
    told: str = ""
    imports: tuple[str, ...] = ()
    runtime: str = "arrays"
    shapes: str = "dynamic"


WRAPPING = """
try:
    raise NotImplementedError("Exporting the operator 'aten::foo' to ONNX is not supported")
except NotImplementedError as error:
    raise RuntimeError("Failed to export the model. Next steps: create an issue") from error
"""

PASSED = ("passed", "measure", None)
CASES = {
    "good": Case("facts = {'opset': 16}", PASSED),
    "static": Case("pass", PASSED, shapes="static"),
    "off": Case(
        "weight = weight * 1.01", ("mismatched", "match", None), "output: values differ, relative error 1.00e-02"
    ),
    "narrow": Case("weight = weight[:3]", ("mismatched", "match", None), "output: shape [2, 3] instead of [2, 4]"),
    "impossible": Case(
        "raise NotApplicable('needs x 2.5')", ("not-applicable", "convert", "NotApplicable"), "needs x 2.5"
    ),
    "raises": Case("raise KeyError('lost')", ("failed", "convert", "KeyError"), "lost"),
    "exits": Case("sys.exit(0)", ("failed", "convert", "SystemExit"), "SystemExit(0)"),
    "says-and-exits": Case(
        "print('ERROR: LSTM OP is not yet implemented.', flush=True); sys.exit(1)",
        ("failed", "convert", "SystemExit"),
        "LSTM OP is not yet implemented. (the tool ended the process: SystemExit(1))",
    ),
    "wraps": Case(
        f"exec(compile({WRAPPING!r}, '/opt/site-packages/tool.py', 'exec'))",
        ("failed", "convert", "NotImplementedError"),
        "Exporting the operator 'aten::foo' to ONNX",
    ),
    "vanishes": Case("os._exit(0)", ("crashed", "convert", "NoResult"), "exit code 0"),
    "aborts": Case("os.abort()", ("crashed", "convert", "SIGABRT"), "SIGABRT"),
    "greedy": Case("kept = [b'x' * 2**26 for _ in range(99)]", ("out-of-memory", "convert", "MemoryLimit"), "1200 MiB"),
    "boasts": Case("facts = {'speed': 3}", ("failed", "convert", "RuntimeError"), "the step told speed"),
    "missing-import": Case(
        "pass", ("not-applicable", "import", "NotApplicable"), "nothing_like_it is not among", ("nothing_like_it",)
    ),
    "killing-import": Case("pass", ("crashed", "import", "SIGABRT"), "SIGABRT", ("killing_import",)),
    "unserved": Case("pass", ("failed", "load", "UsageError"), "unknown runtime 'arays'", runtime="arays"),
    "broken-runtime": Case("pass", ("failed", "load", "ImportError"), "no disk", runtime="broken"),
    "unreadable": Case("weight = np.array([None])", ("failed", "load", "ValueError"), "allow_pickle"),
    "wrong-size": Case("weight = weight[:, :5]", ("failed", "execute", "ValueError"), "mismatch"),
}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's file, and a plugin folder with a step and a strategy for each case."""
    made = tmp_path_factory.mktemp("cells")
    _write(made / "linear.py", MODEL)
    _write(made / "lock.txt", "")
    _write(made / "modules" / "killing_import.py", "import os\nos.abort()\n")
    _write(made / "plugins" / "runtimes" / "arrays.py", RUNTIME)
    _write(made / "plugins" / "runtimes" / "broken.py", "raise OSError('no disk')\nRUNTIME = None\n")
    for name, case in CASES.items():
        stem = name.replace("-", "_")
        _write(made / "plugins" / "steps" / f"{stem}.py", STEP.format(body=case.body, imports=case.imports))
        strategy = STRATEGY.format(name=name, runtime=case.runtime, shapes=case.shapes)
        _write(made / "plugins" / "strategies" / f"{stem}.py", strategy)
    return made


@pytest.fixture(scope="module", autouse=True)
def _path(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{STAND_IN}:{folder / 'modules'}")
        yield


def _plan(folder: Path, *strategies: str) -> Plan:
    registry = discover(models=[folder / "linear.py"], plugins=[folder / "plugins"])
    return Plan(
        combination="none",
        device="cpu",
        tier="quick",
        cells=expand(registry, combination="none", device="cpu", tier="quick", strategies=strategies),
        models=(str(folder / "linear.py"),),
        plugins=(str(folder / "plugins"),),
        lock=str(folder / "lock.txt"),
        policy=Policy(timeout_s=30.0, memory_limit_mb=1200, measure_s=0.01, threads=1),
        selected=True,
    )


@pytest.fixture(scope="module")
def cells(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cells]:
    """The cells of every case."""
    plan = _plan(folder, *CASES)
    made = _cells(plan, tmp_path_factory.mktemp("scratch"))
    yield made
    made.close()
    assert not made.scratch.exists()


def _cells(plan: Plan, scratch: Path, *, fresh: bool = False, waiting: Path | None = None) -> Cells:
    waiting = waiting or scratch / "waiting"
    return Cells(plan, plan.registry(), scratch, marker=str(scratch), fresh=fresh, waiting=waiting)


def _run(cells: Cells, name: str) -> tuple[Record, dict[str, Any]]:
    cell = Cell("none", "linear", name, "cpu")
    return cells.run(cell) or cells.time(cell)


@pytest.fixture(scope="module")
def ran(cells: Cells) -> Callable[[str], tuple[Record, dict[str, Any]]]:
    """The record of a case and its details, run once."""
    return functools.cache(lambda name: _run(cells, name))


Ran = Callable[[str], tuple[Record, dict[str, Any]]]


@pytest.mark.parametrize("name", CASES)
def test_what_a_step_does_becomes_its_outcome(ran: Ran, name: str) -> None:
    case = CASES[name]
    record, details = ran(name)
    assert (record.outcome.value, record.stage.value, record.error_type) == case.ends, details
    assert case.told in (record.error or record.difference or "")
    assert bool(record.fingerprint) is (record.outcome.value not in ("passed", "not-applicable"))
    assert (record.model_digest, record.strategy_digest, record.weights_digest) != (None, None, None)
    assert record.probes_total == 2
    json.dumps(record.to_json())


def test_the_root_is_recorded_and_the_whole_chain_kept(ran: Ran) -> None:
    record, details = ran("wraps")
    assert record.operator == "aten::foo"
    assert [each["type"] for each in details["chain"]] == ["RuntimeError", "NotImplementedError"]
    assert "create an issue" in details["traceback"]
    assert ran("says-and-exits")[0].operator == "LSTM"


def test_a_passing_cell_has_every_figure(ran: Ran) -> None:
    record, details = ran("good")
    assert (record.probes_passed, record.probes_skipped, record.opset, record.provider) == (2, 0, 16, "numpy")
    assert record.relative_error is not None
    assert record.relative_error < 1e-6
    assert (record.grade, record.tolerance, record.launches) == ("excellent", 1e-4, 3)
    for name in ("convert_s", "load_s", "latency_ms", "latency_iqr_ms", "duration_s", "artifact_bytes"):
        assert getattr(record, name) > 0, name
    assert record.latency_spread is not None
    assert record.rss_source is not None
    memory = [record.rss_base_mb, record.rss_import_mb, record.rss_load_mb, record.rss_peak_mb]
    assert None not in memory
    assert set(details["errors"]) == {"example", "other values", "more rows"}
    medians = [statistics.median(launch["samples_s"]) for launch in details["launches"]]
    assert record.latency_ms == statistics.median(medians) * 1000
    assert all(launch["calls"] * min(launch["samples_s"]) > 50e-6 for launch in details["launches"])


def test_probes_of_another_shape_are_skipped_where_the_artifact_is_static(ran: Ran) -> None:
    record, _ = ran("static")
    assert (record.probes_passed, record.probes_skipped, record.probes_total) == (1, 1, 2)


def test_where_a_mismatch_begins_is_asked_of_onnx_files_alone(ran: Ran) -> None:
    record, details = ran("off")
    assert record.begins_at is None
    assert details["begins"] == {
        "input_set": "example",
        "not_located": "only ONNX files can be opened; this is array served by arrays, made without one",
    }
    assert "begins" not in ran("good")[1]


def test_nothing_is_measured_where_nothing_was_served(ran: Ran) -> None:
    for name in ("raises", "unreadable"):
        record, _ = ran(name)
        measured = (record.probes_passed, record.mse, record.latency_ms, record.rss_peak_mb, record.grade)
        assert measured == (None,) * 5


def test_fresh_processes_give_the_same_outcome_and_a_hang_ends(folder: Path, tmp_path: Path) -> None:
    plan = _plan(folder, "good")
    plan = replace(plan, policy=replace(plan.policy, timeout_s=2.5, launches=2))
    _write(folder / "plugins" / "steps" / "hangs.py", STEP.format(body="time.sleep(60)", imports=()))
    _write(
        folder / "plugins" / "strategies" / "hangs.py", STRATEGY.format(name="hangs", runtime="arrays", shapes="static")
    )
    cells = _cells(plan, tmp_path / "scratch", fresh=True)
    try:
        records = [_run(cells, name)[0] for name in ("good", "hangs")]
    finally:
        cells.close()
    ends = [(record.outcome.value, record.stage.value, record.error_type) for record in records]
    assert ends == [PASSED, ("timed-out", "convert", "Timeout")]
    assert (records[0].launches, records[1].launches) == (2, None)


def test_a_run_that_was_stopped_while_it_timed_times_the_cell_anew(folder: Path, tmp_path: Path) -> None:
    plan = _plan(folder, "good")
    cell = Cell("none", "linear", "good", "cpu")
    cells = _cells(plan, tmp_path / "scratch")
    try:
        assert cells.run(cell) is None
        _write(cells.waiting / cell.slug / "time-0" / "half.json", "{")
        record, details = cells.time(cell)
    finally:
        cells.close()
    assert (record.outcome.value, record.stage.value, record.launches) == ("passed", "measure", plan.policy.launches)
    assert len(details["launches"]) == plan.policy.launches


def test_a_model_that_was_built_and_cannot_be_any_more_is_no_result(folder: Path, tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    model = MODEL.replace(
        "    import torch\n", f"    import os, torch\n    assert not os.path.exists({str(flag)!r})\n", 1
    )
    own = tmp_path / "linear.py"
    _write(own, model)
    plan = replace(_plan(folder, "good"), models=(str(own),))
    cell = Cell("none", "linear", "good", "cpu")
    waiting = tmp_path / "waiting"
    first = _cells(plan, tmp_path / "scratch", waiting=waiting)
    try:
        assert first.run(cell) is None
    finally:
        first.close()
    flag.touch()
    again = _cells(plan, tmp_path / "again", waiting=waiting)
    try:
        with pytest.raises(InfrastructureError, match="linear was built before, and cannot be any more"):
            again.time(cell)
        assert again.waits(cell), "it is timed once the cause is mended"
    finally:
        again.close()
    flag.unlink()
    mended = _cells(plan, tmp_path / "mended", waiting=waiting)
    try:
        record, details = mended.time(cell)
        assert record.outcome.value == "passed", (record.error, details)
    finally:
        mended.close()


@pytest.mark.parametrize("pinned", [False, True])
def test_what_needs_a_package_that_is_not_there_is_not_applicable(folder: Path, tmp_path: Path, pinned: bool) -> None:
    plan = _plan(folder, "missing-import")
    plan = plan if pinned else replace(plan, lock="")
    cells = _cells(plan, tmp_path / "scratch")
    try:
        record, _ = _run(cells, "missing-import")
    finally:
        cells.close()
    assert (record.outcome.value, record.stage.value) == ("not-applicable", "import")
    where = "not among these requirements" if pinned else "not installed in this environment"
    assert record.error == f"nothing_like_it is {where}"


def _pytest(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-c", "harness/bench/pytest.ini", "-p", "harness.bench"]
    command += ["--models", str(folder / "linear.py"), "--plugin-folder", str(folder / "plugins")]
    command += ["--measure-s=0.01", "--timeout-s=20", "--device=cpu", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_bench_alone_leaves_a_table_and_resumes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    strategies = [f"--strategies={name}" for name in ("good", "off", "impossible")]
    done = _pytest(folder, *strategies, "--out", out, "-x")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "mismatched at match: output: values differ" in done.stdout
    done = _pytest(folder, *strategies, "--out", out, "--resume")
    assert done.returncode in (0, 5), done.stdout + done.stderr
    assert Attempt(out).state is State.ENDED
    table = table_of([Attempt(out)], pins={})
    assert (table.run.complete, table.run.selected, table.run.combination) == (True, True, "ambient")
    outcomes = {record.strategy: record.outcome.value for record in table.records}
    assert outcomes == {"good": "passed", "off": "mismatched", "impossible": "not-applicable"}
    events = [json.loads(line) for line in (out / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [(event["strategy"], event["event"]) for event in events]
    # The first run stopped at what is off, before anything was timed; nothing is converted twice.
    assert [each for each in told if each[0] == "good"] == [
        ("good", what) for what in ("started", "waiting", "timing", "ended")
    ]
    assert told.index(("off", "ended")) < told.index(("good", "timing"))
    assert told.count(("impossible", "ended")) == told.count(("off", "started")) == 1
    assert not any(Attempt(out).waiting.iterdir())


BREAKING = """
import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    from harness.bench.cell import Cells

    def broken(whole, phase):
        def call(cells, cell):
            if cell.strategy == f"breaks-{phase.replace('_', '-')}":
                raise LookupError(f"a bug in {phase}")
            return whole(cells, cell)

        return call

    for phase in ("run", "time", "bytes_waiting"):
        setattr(Cells, phase, broken(getattr(Cells, phase), phase))
"""


def _broken(folder: Path, out: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """The bench with a bug where its cell comes to what its strategy is named by."""
    _write(folder / "modules" / "breaking_the_bench.py", BREAKING)
    for name in names:
        stem = name.replace("-", "_")
        _write(folder / "plugins" / "steps" / f"{stem}.py", STEP.format(body="pass", imports=()))
        strategy = STRATEGY.format(name=name, runtime="arrays", shapes="static")
        _write(folder / "plugins" / "strategies" / f"{stem}.py", strategy)
    strategies = [f"--strategies={name}" for name in ("good", *names, "static")]
    return _pytest(folder, *strategies, "--out", out, "-p", "breaking_the_bench")


def test_a_bug_of_the_bench_costs_the_cell_that_it_met_in_either_phase(folder: Path, tmp_path: Path) -> None:
    done = _broken(folder, tmp_path / "out", "breaks-run", "breaks-time")
    attempt = Attempt(tmp_path / "out")
    assert done.returncode == 3, done.stdout + done.stderr
    assert sorted(path.stem for path in attempt.records.iterdir()) == ["linear--good", "linear--static"]
    assert "LookupError: a bug in run" in done.stdout
    assert "LookupError: a bug in time" in done.stdout
    stated = attempt.read() or {}
    told = "2 cells have no record, ambient/linear/breaks-run among them: the bench itself broke there."
    assert (stated["state"], stated["cause"]) == ("paused", told)


def test_no_cell_is_named_where_the_bench_broke_beside_them(folder: Path, tmp_path: Path) -> None:
    done = _broken(folder, tmp_path / "out", "breaks-bytes-waiting")
    assert done.returncode == 3, done.stdout + done.stderr
    stated = Attempt(tmp_path / "out").read() or {}
    assert (stated["state"], stated["cause"]) == ("paused", "3 cells have no record: the bench itself broke.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--strategies=godo"], "unknown strategy 'godo'. Did you mean 'good'?"),
        (["--lock=nothing.txt"], "--lock nothing.txt: no such file"),
        (["--launches=-1"], "launches is -1, and must not be below 0"),
    ],
)
def test_wrong_use_of_the_bench_alone_is_told(folder: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    done = _pytest(folder, *arguments, "--out", tmp_path / "out")
    assert done.returncode == 4, done.stdout + done.stderr
    assert told in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_waits_for_a_duel_may_take_a_share_of_the_disk_and_no_more(tmp_path: Path) -> None:
    plan = Plan(combination="somebodys", device="cpu", tier="quick", cells=(), duel_side="a")
    cells = _cells(plan, tmp_path)
    (cells.waiting / "artifact").mkdir(parents=True)
    (cells.waiting / "artifact" / "weight.npy").write_bytes(bytes(2**20))
    cells.require_room(0.25)
    with pytest.raises(DiskFullError, match="what waits takes 1 MiB of the disk"):
        cells.require_room(1e-9)
