"""An artifact of one combination, served by the runtime of another: is the exporter to blame, or the runtime?"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from harness.attempts.execution import execute
from harness.bench.kept import read_artifact
from harness.bench.plan import Cell, Plan, Policy
from harness.bench.record import Record
from harness.cli.running import tasks_of
from harness.matrix.locks import lock_path
from tests.attempts.conftest import Observer
from tests.real.conftest import ROOT

MODEL = "embedding-new-zeros"
DEFAULT, OPSET = "onnx-torchscript", "onnx-torchscript:16"


def _run(name: str, keep: Path, *strategies: str, **artifacts: Path) -> dict[str, tuple[Record, dict[str, Any]]]:
    """The records of the canary in a combination, which keeps what it leaves; `artifacts` are served by `crossed`."""
    plan = Plan(
        combination=name,
        device="cpu",
        tier="quick",
        cells=tuple(Cell(name, MODEL, strategy, "cpu") for strategy in strategies),
        lock=str(lock_path(ROOT, name)),
        policy=Policy(measure_s=0.05),
        selected=True,
        keep=str(keep),
        artifacts=tuple((MODEL, strategy.replace("_", "-"), str(folder)) for strategy, folder in artifacts.items()),
    )
    ((task,),) = tasks_of(ROOT, [[plan]])
    with contextlib.ExitStack() as holds:
        attempt = execute(ROOT, task, Observer(), holds, run=keep.name, restart=True)
        told = {cell.strategy: json.loads(attempt.record_of(cell).read_text()) for cell in plan.cells}
    return {strategy: (Record.from_json(each["row"]), each["details"]) for strategy, each in told.items()}


def _kept(folder: Path, name: str, strategy: str) -> Path:
    return folder / Cell(name, MODEL, strategy, "cpu").slug


@pytest.mark.real
def test_the_artifact_follows_the_exporter_into_either_runtime(tmp_path: Path) -> None:
    before, after, back = (tmp_path / name for name in ("before", "after", "back"))
    old = _run("torch2.0", before, DEFAULT)[DEFAULT][0]
    assert old.outcome.value == "passed"
    good = _kept(before, "torch2.0", DEFAULT)
    assert read_artifact(good).packages["torch"] == "2.0.1"

    ran = _run("torch2.1", after, DEFAULT, OPSET, onnx_torchscript=good)
    crossed, details = ran[DEFAULT]
    assert (crossed.outcome.value, crossed.convert_s, crossed.opset) == ("passed", None, old.opset), crossed.error
    assert crossed.relative_error == old.relative_error
    assert details["crossed"]["packages"]["torch"] == "2.0.1"
    broken, _ = ran[OPSET]
    assert (broken.outcome.value, broken.stage.value, broken.error_type) == ("failed", "load", "InvalidGraph")

    bad = _kept(after, "torch2.1", OPSET)
    there = _run("torch2.0", back, DEFAULT, onnx_torchscript=bad)[DEFAULT][0]
    assert (there.outcome, there.stage, there.fingerprint) == (broken.outcome, broken.stage, broken.fingerprint)
    assert (there.opset, there.error_type) == (16, "InvalidGraph")
