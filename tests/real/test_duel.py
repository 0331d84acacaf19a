"""A duel of one cell between two combinations, each process in its own environment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.duel.contesting import PAIRS_FILE

pytestmark = [pytest.mark.real, pytest.mark.alone]

Harness = Callable[..., subprocess.CompletedProcess[str]]


def test_one_cell_is_converted_once_a_side_and_timed_in_pairs(
    harness: Harness, pinned: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in ("torch2.0", "torch2.1"):
        pinned(name)
    file = tmp_path / "duel.json"
    cell = "lstm/onnx-torchscript"
    done = harness("duel", "torch2.0", "torch2.1", cell, "--device=cpu", "--within=20", "--budget=3", f"--json={file}")
    assert done.returncode in (0, 1), done.stderr + done.stdout
    told = json.loads(file.read_text(encoding="utf-8"))
    (found,) = told["cells"]
    assert found["cell"] == cell
    assert found["decision"] in ("slower", "faster", "equal")
    assert (done.returncode == 1) == (found["decision"] == "slower")
    assert found["lower"] <= found["effect"] <= found["upper"]
    assert f"\n{cell}  " in done.stdout
    pairs = [json.loads(line) for line in (Path(told["folder"]) / PAIRS_FILE).read_text(encoding="utf-8").splitlines()]
    assert len(pairs) == found["pairs"] >= 6
    assert {process["provider"] for pair in pairs for process in pair["processes"]} == {"CPUExecutionProvider"}
