"""Cells from end to end without any framework: a stand-in for torch, and steps and a runtime of the test's own."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench import memory
from harness.bench.cell import Cells
from harness.bench.errors import DiskFullError, InfrastructureError
from harness.bench.plan import Cell, Plan
from harness.bench.record import Record
from tests.bench.linear import MODEL, add_model, add_strategy, cells_of, importable, plan_of, write


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's file, and a plugin folder with a step and a strategy for each case."""
    made = tmp_path_factory.mktemp("cells")
    add_model(made)
    write(made / "modules" / "killing_import.py", "import os\nos.abort()\n")
    write(made / "plugins" / "runtimes" / "broken.py", "raise OSError('no disk')\nRUNTIME = None\n")
    for name, case in CASES.items():
        add_strategy(made, name, case.body, imports=case.imports, runtime=case.runtime, shapes=case.shapes)
    return made


@pytest.fixture(scope="module", autouse=True)
def _path(folder: Path) -> Iterator[None]:
    with importable(folder / "modules"):
        yield


@pytest.fixture(scope="module")
def cells(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cells]:
    """The cells of every case."""
    plan = plan_of(folder, *CASES)
    made = cells_of(plan, tmp_path_factory.mktemp("scratch"))
    yield made
    made.close()
    assert not made.scratch.exists()


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
    plan = plan_of(folder, "good")
    plan = replace(plan, policy=replace(plan.policy, timeout_s=2.5, launches=2))
    add_strategy(folder, "hangs", "time.sleep(60)")
    cells = cells_of(plan, tmp_path / "scratch", fresh=True)
    try:
        records = [_run(cells, name)[0] for name in ("good", "hangs")]
    finally:
        cells.close()
    ends = [(record.outcome.value, record.stage.value, record.error_type) for record in records]
    assert ends == [PASSED, ("timed-out", "convert", "Timeout")]
    assert (records[0].launches, records[1].launches) == (2, None)


def test_a_run_that_was_stopped_while_it_timed_times_the_cell_anew(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder, "good")
    cell = Cell("none", "linear", "good", "cpu")
    cells = cells_of(plan, tmp_path / "scratch")
    try:
        assert cells.run(cell) is None
        write(cells.waiting / cell.slug / "time-0" / "half.json", "{")
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
    write(own, model)
    plan = replace(plan_of(folder, "good"), models=(str(own),))
    cell = Cell("none", "linear", "good", "cpu")
    waiting = tmp_path / "waiting"
    first = cells_of(plan, tmp_path / "scratch", waiting=waiting)
    try:
        assert first.run(cell) is None
    finally:
        first.close()
    flag.touch()
    again = cells_of(plan, tmp_path / "again", waiting=waiting)
    try:
        with pytest.raises(InfrastructureError, match="linear was built before, and cannot be any more"):
            again.time(cell)
        assert again.waits(cell), "it is timed once the cause is mended"
    finally:
        again.close()
    flag.unlink()
    mended = cells_of(plan, tmp_path / "mended", waiting=waiting)
    try:
        record, details = mended.time(cell)
        assert record.outcome.value == "passed", (record.error, details)
    finally:
        mended.close()


@pytest.mark.parametrize("pinned", [False, True])
def test_what_needs_a_package_that_is_not_there_is_not_applicable(folder: Path, tmp_path: Path, pinned: bool) -> None:
    plan = plan_of(folder, "missing-import")
    plan = plan if pinned else replace(plan, lock="")
    cells = cells_of(plan, tmp_path / "scratch")
    try:
        record, _ = _run(cells, "missing-import")
    finally:
        cells.close()
    assert (record.outcome.value, record.stage.value) == ("not-applicable", "import")
    where = "not among these requirements" if pinned else "not installed in this environment"
    assert record.error == f"nothing_like_it is {where}"


def test_what_waits_for_a_duel_may_take_a_share_of_the_disk_and_no_more(tmp_path: Path) -> None:
    plan = Plan(combination="somebodys", device="cpu", tier="quick", cells=(), duel_side="a")
    cells = cells_of(plan, tmp_path)
    (cells.waiting / "artifact").mkdir(parents=True)
    (cells.waiting / "artifact" / "weight.npy").write_bytes(bytes(2**20))
    cells.require_room(0.25)
    with pytest.raises(DiskFullError, match="what waits takes 1 MiB of the disk"):
        cells.require_room(1e-9)


ENDED_ONCE = """
import os, pathlib
mark = pathlib.Path({mark!r})
if {always} or not mark.exists():
    mark.touch()
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("part", ["step", "runtime"])
@pytest.mark.parametrize("always", [False, True])
def test_what_the_kernel_ends_for_want_of_memory_runs_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, always: bool
) -> None:
    monkeypatch.setattr(memory, "oom_kills", itertools.count().__next__)  # it struck whenever one looks
    body = f"exec({ENDED_ONCE.format(mark=str(tmp_path / 'mark'), always=always)!r})"
    add_model(tmp_path)
    add_strategy(tmp_path, "short-of-memory", body if part == "step" else "pass")
    if part == "runtime":
        runtime = tmp_path / "plugins" / "runtimes" / "arrays.py"
        runtime.write_text(runtime.read_text("utf-8").replace("    import numpy", f"    {body}\n    import numpy"))
    cells = cells_of(plan_of(tmp_path, "short-of-memory"), tmp_path / "scratch")
    with contextlib.closing(cells):
        record, _ = _run(cells, "short-of-memory")
    stage = "convert" if part == "step" else "load"
    wanted = ("out-of-memory", stage, "OomKiller") if always else PASSED
    assert (record.outcome.value, record.stage.value, record.error_type) == wanted
