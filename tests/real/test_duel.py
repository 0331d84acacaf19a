"""A duel of one cell between two combinations, each process in its own environment."""

from __future__ import annotations

import json
import re
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


def test_a_gate_of_two_tables_has_their_environments_duel(
    harness: Harness, pinned: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in ("torch2.0", "torch2.1"):
        pinned(name)
    selected = ("--models=lstm", "--strategies=onnx-torchscript", "--device=cpu")
    ran = harness("run", "torch2.0", "torch2.1", *selected)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    folders = re.findall(r"^Table: (\S+)$", ran.stdout, flags=re.MULTILINE)
    assert len(folders) == 2
    matrix = tmp_path / "matrix.toml"
    policy = "[gate]\nlatency_percent = 60\nlatency_must_be_told = true\n"
    matrix.write_text(f'combinations = ["torch2.0"]\n{policy}', encoding="utf-8")
    done = harness("gate", *folders, f"--matrix={matrix}", "--duel", "--duel-budget=3")
    assert done.returncode == 0, done.stderr + done.stdout
    said = " ".join(done.stdout.split())
    assert "none of 1 cell found slower than [gate] allows" in said, done.stdout
    assert "Latency is told by a duel of 1 cell: 0 slower" in said
    refused = harness("gate", *folders, "--duel-budget=3")
    assert refused.returncode == 2
    assert "--duel-budget: only goes with --duel." in refused.stderr
