"""From pins to a verdict, as a user gets there, on the two combinations that the guides are about."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.matrix.combination import extended, extensions, names
from harness.matrix.environment import python_of
from tests.real.conftest import ROOT

pytestmark = pytest.mark.real

Call = Callable[..., subprocess.CompletedProcess[str]]

ZOO = ROOT / "tests" / "model_zoo" / "zoo_in_environment.py"
SELECTED = (
    "--models=embedding-new-zeros",
    "--models=grid-sample",
    "--strategies=native",
    "--strategies=onnx-torchscript",
    "--tier=quick",
    "--device=cpu",
)


def _table(printed: str) -> list[Path]:
    return [ROOT / line.removeprefix("Table: ") for line in printed.splitlines() if line.startswith("Table: ")]


def test_the_upgrade_that_really_breaks_something_is_flagged(harness: Call) -> None:
    done = harness("run", "torch2.0", "torch2.1", *SELECTED, "--restart")
    assert done.returncode == 0, done.stdout + done.stderr
    base, candidate = _table(done.stdout)
    assert ".harness/scratch" in str(base), "a run of selected cells must not become a combination's table"

    gate = harness("gate", base, candidate)
    assert gate.returncode == 1, gate.stdout + gate.stderr
    worse, better = gate.stdout.split("Worse")[1].split("Better")
    assert "embedding-new-zeros/onnx-torchscript" in worse
    assert "passed -> failed at load" in worse
    assert "InvalidGraph" in worse
    assert "grid-sample/onnx-torchscript" in better.split("Unchanged")[0]
    assert "triton" in gate.stdout, "what else differs than the bumped packages is told"

    assert harness("compare", base, candidate).returncode == 0
    assert harness("gate", base, base).returncode == 3, "one table on both sides is no evidence"
    run = json.loads((base / "run.json").read_text(encoding="utf-8"))
    assert run["packages"]["torch"].startswith("2.0.1")
    assert run["pins"]["torch"] == "2.0.1"
    assert (run["planned"], run["recorded"], run["complete"]) == (4, 4, True)


def test_a_killed_run_keeps_its_cells_and_resumes(harness: Call, pinned: Callable[[str], Path]) -> None:
    pinned("torch2.0")
    models = ("--models=length-loop", "--models=lstm")
    strategies = ("--strategies=onnx-torchscript*", "--strategies=onnx-dynamo")
    selected = (*models, *strategies, "--tier=quick", "--device=cpu", "--launches=1")
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "run", "torch2.0", *selected, "--restart"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("[2/"):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    time.sleep(1)

    done = harness("run", "torch2.0", *selected)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "going on with" in done.stdout
    assert "[1/" not in done.stdout, "finished cells are not run again"
    (table,) = _table(done.stdout)
    assert json.loads((table / "run.json").read_text(encoding="utf-8"))["complete"] is True


def test_an_existing_environment_is_run_from_outside(
    harness: Call, pinned: Callable[[str], Path], tmp_path: Path
) -> None:
    selected = ("--models=length-loop", "--strategies=native", "--tier=quick", "--device=cpu")
    done = harness("run", "--python", pinned("torch2.0"), "--name", "container", *selected, "--restart")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "container/length-loop/native: passed" in done.stdout


def test_a_rejected_probe_of_a_users_model_is_recorded_and_exit_2_at_the_end(
    harness: Call, pinned: Callable[[str], Path], tmp_path: Path
) -> None:
    from tests.real.test_bench_alone import USER_MODEL

    pinned("torch2.0")
    model = tmp_path / "rejecting.py"
    model.write_text(USER_MODEL.replace("SHAPE", "(2, 9)"), encoding="utf-8")
    done = harness("run", "torch2.0", "--models", model, "--strategies=native", "--device=cpu")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "1 model raised wherever it was built (torch2.0), which no version explains." in done.stderr
    assert "probe 'wrong' is rejected by forward" in done.stderr
    assert "Table:" in done.stdout


def _installed() -> list[str]:
    """Every combination and extension whose environment is there, beside the two that always are."""
    found = [
        extended(name, extension)
        for name in names(ROOT)
        for extension in ("", *extensions(ROOT, name))
        if python_of(ROOT, extended(name, extension)).exists()
    ]
    return list(dict.fromkeys(["torch2.0", "torch2.1", *found]))


@pytest.mark.parametrize("which", [("-m", "not long"), pytest.param((), marks=pytest.mark.long)], ids=["most", "all"])
def test_the_zoo_holds_its_promises_under_every_installed_combination(
    pinned: Callable[[str], Path], tmp_path: Path, which: tuple[str, ...]
) -> None:
    digests: dict[str, dict[str, Any]] = {}
    for name in _installed():
        report = tmp_path / f"{name}.json"
        done = subprocess.run(
            [str(pinned(name)), "-m", "pytest", "-q", "-pno:cacheprovider", *which, str(ZOO)],
            cwd=ROOT,
            env={**os.environ, "HARNESS_ZOO_DIGESTS": str(report), "PYTHONPATH": "", "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        digests[name] = json.loads(report.read_text(encoding="utf-8"))
    base = digests["torch2.0"]
    for name, found in digests.items():
        both = base.keys() & found.keys()
        assert {m: base[m]["weights"] for m in both} == {m: found[m]["weights"] for m in both}, (
            f"the same bits in {name}"
        )
    candidate = digests["torch2.1"]
    for model in base.keys() & candidate.keys():
        for inputs, outputs in base[model]["outputs"].items():
            for one, other in zip(outputs, candidate[model]["outputs"][inputs], strict=True):
                assert one["sample"] == pytest.approx(other["sample"], rel=1e-3, abs=1e-4), (model, inputs)
