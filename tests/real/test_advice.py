"""`harness advise` in a pinned environment, for a model that exports and one with an operator of its own and a twin."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import ROOT

pytestmark = [pytest.mark.real, pytest.mark.long]

Call = Callable[..., subprocess.CompletedProcess[str]]

PLAIN = """
from harness.bench import Model, uniform


def build():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))


MODEL = Model(
    summary="two layers",
    family="own",
    build=build,
    example=lambda: {"x": uniform((2, 8))},
    probes={"other": lambda: {"x": uniform((2, 8), seed=1)}, "larger": lambda: {"x": uniform((5, 8), seed=2)}},
    dynamic={"x": {0: "batch"}},
)
"""


def test_a_model_that_exports_and_one_with_an_operator_of_its_own(
    harness: Call, pinned: Callable[[str], Path], tmp_path: Path
) -> None:
    pinned("torch2.1")
    (tmp_path / "plain.py").write_text(PLAIN, encoding="utf-8")
    shutil.copy(ROOT / "model_zoo" / "custom_operator.py", tmp_path / "clipped.py")
    models = (tmp_path / "plain.py", tmp_path / "clipped.py")
    asked = ("advise", *models, "--combination", "torch2.1", "--device", "cpu", "--results", tmp_path / "results")
    first = harness(*asked, "--json")
    assert first.returncode == 0, first.stderr
    found: dict[str, Any] = {each["model"]: each for each in json.loads(first.stdout)["models"]}
    plain, clipped = found["plain"], found["clipped"]
    chosen = {each["recommended"]["strategy"] for each in (plain, clipped)}
    assert chosen <= {"onnx-torchscript", "onnx-torchscript:16", "manual-recreation", "tf2onnx"}
    assert {each["branch"]: each["answer"] for each in plain["branches"]}["exporter"] == "passes"
    assert {plain["recommended"]["strategy"], plain["fallback"]["strategy"]} == {
        "onnx-torchscript",
        "onnx-torchscript:16",
    }
    answers = {each["branch"]: each["answer"] for each in clipped["branches"]}
    assert answers == {
        "exporter": "does not work",
        "recreation": "passes",
        "converter": "not run",
        "hybrid": "not run",
    }
    assert clipped["custom_operator"] == "conversion_harness::soft_clip"
    refused = clipped["branches"][0]["seen"][0]
    assert "cause" in refused["known"], refused
    for advice in (plain, clipped):
        for seen in (advice["recommended"], advice["fallback"]):
            assert seen["outcome"] == "passed"
            assert seen["latency_ratio"] > 0
            assert seen["native_memory_mb"] > 0
            row = json.loads((ROOT / seen["record"]).read_text(encoding="utf-8"))["row"]
            assert (row["outcome"], row["strategy"]) == ("passed", seen["strategy"])
    again = harness(*asked)
    assert again.returncode == 0, again.stderr
    assert "preparing the environment" not in again.stderr  # all of it is taken from the tables
    assert "custom operator: the exporter refuses conversion_harness::soft_clip" in again.stdout
