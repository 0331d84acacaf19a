"""Blame on a runtime that breaks by itself: ONNX Runtime 1.17.1, which fuses what it then refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.bump.bumpfile import read_bump
from harness.bump.schema import Answer, SideName, Status

pytestmark = [pytest.mark.real, pytest.mark.long]

REQUIREMENTS = "# python: 3.11\ntorch==2.1.0\nnumpy==1.26.4\nonnx==1.14.0\nonnxruntime-gpu==1.16.3\n"

MODEL = '''\
"""A projection, normalised over its features: what ONNX Runtime 1.17 takes for one Gemm."""

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    import torch

    class Projection(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(8, 5, bias=False)
            self.norm = torch.nn.BatchNorm1d(5)

        def forward(self, x: Any) -> Any:
            return self.norm(self.linear(x).transpose(1, 2)).transpose(1, 2)

    return Projection()


def given(seed: int) -> Inputs:
    return {"x": uniform((2, 6, 8), seed=seed)}


MODEL = Model(
    summary="a linear layer without bias, a transposition, batch normalisation, and back",
    family="sequence",
    build=build,
    example=lambda: given(0),
    probes={"other": lambda: given(1), "more": lambda: given(2)},
)
'''


def test_the_runtime_is_blamed_by_the_artifact_of_the_base(
    harness: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    base, model = tmp_path / "requirements.txt", tmp_path / "projection.py"
    base.write_text(REQUIREMENTS, "utf-8")
    model.write_text(MODEL, "utf-8")
    selected = (f"--models={model}", "--strategies=onnx-torchscript", "--device=cpu")
    moves = ("onnxruntime-gpu==1.17.1", *selected, "--blame-budget=25", "--json")
    done = harness("--root", tmp_path, "bump", base, *moves)
    assert done.returncode == 1, done.stdout + done.stderr
    told = json.loads(done.stdout)
    bump = read_bump(Path(told["candidate"]["table"]))
    (blame,) = bump.blames
    assert blame.status is Status.FOUND, blame.limits
    assert blame.culprits
    assert [each.name for each in blame.culprits.packages] == ["onnxruntime-gpu"]
    assert blame.side
    assert blame.side.side is SideName.RUNTIME
    assert [each.answer for each in blame.side.crossed] == [Answer.BREAKS]
    (versions,) = blame.versions
    assert versions.last_working
    assert versions.first_broken
    assert versions.first_broken.version.startswith("1.17.")
    assert versions.works_again
    assert versions.works_again.evidence.answer is Answer.WORKS
    assert all((tmp_path / each.file).is_file() for trial in bump.trials for each in trial.records)
