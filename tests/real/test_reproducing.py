"""Scripts that show failures without the harness: `uv run` of them fails as recorded, and passes with other versions.

Nothing of a pinned environment is used: uv makes one of each script's own packages.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from harness.bench.registry import discover
from harness.bench.stages import Stage
from harness.matrix.combination import read
from harness.matrix.environment import clean_environ
from harness.matrix.locks import read_lock
from harness.reproducing import trying
from harness.reproducing.making import Made, make
from harness.reproducing.pinning import Source
from tests.tables.samples import mismatched

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
Harness = Callable[..., subprocess.CompletedProcess[str]]


def _source(name: str) -> Source:
    combination = read(ROOT, name)
    return Source.of_lock(read_lock(ROOT, combination).text, combination.python)


def test_a_failure_is_shown_without_the_harness(harness: Harness, tmp_path: Path) -> None:
    file = tmp_path / "repro.py"
    cell = "torch2.1/embedding-new-zeros/onnx-torchscript:16"
    done = harness("reproduce", cell, "--output", file, "--no-check")
    assert done.returncode == 0, done.stdout + done.stderr
    text = file.read_text(encoding="utf-8")
    assert "import harness" not in text
    assert str(ROOT) not in text
    command = [find_uv_bin(), "run", "--quiet", str(file)]
    ran = subprocess.run(command, cwd=tmp_path, env=clean_environ(), capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    assert "InvalidGraph: [ONNXRuntimeError] : 10 : INVALID_GRAPH" in ran.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["repro.py"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("cell", "options", "other"),
    [
        ("torch2.1/embedding-new-zeros/onnx-torchscript:16", (), "torch2.0"),
        ("torch2.0/grid-sample/onnx-torchscript", (), "torch2.1"),
        ("torch2.0/attention-fused/onnx-torchscript", ("--tier", "core"), "torch2.1"),
        ("torch2.1/attention-scale/onnx-torchscript", ("--tier", "core"), "torch2.9"),
        ("torch2.1/weight-norm/manual-recreation", ("--tier", "core"), "torch2.0"),
        ("torch2.1/multihead-attention/onnx-torchscript", ("--tier", "core"), "torch2.9"),
    ],
)
def test_a_script_fails_as_recorded_and_passes_with_other_versions(
    harness: Harness, tmp_path: Path, cell: str, options: tuple[str, ...], other: str
) -> None:
    file = tmp_path / "repro.py"
    done = harness("reproduce", cell, *options, "--output", file, "--pins", other)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fails as recorded" in done.stdout
    assert f"With the versions of {other} the same script passes" in done.stdout
    assert "Passes with" in file.read_text(encoding="utf-8")


CEIL_POOLING = '''
from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

WIDTH = 8


def build() -> Any:
    """A pooling whose last window reaches beyond the padding."""
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, WIDTH, 3), nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True))


def images(seed: int) -> Inputs:
    return {"input": uniform((2, 3, 14, 14), seed=seed)}


MODEL = Model(
    summary="",
    family="",
    build=build,
    example=lambda: images(0),
    probes={"other": lambda: images(1), "more": lambda: images(2)},
    dynamic={"input": {0: "batch"}},
)
'''


@pytest.mark.long
def test_wrong_values_of_a_model_of_ones_own_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "pooled.py"
    file.write_text(CEIL_POOLING, encoding="utf-8")
    record = mismatched(
        "pooled", "onnx-torchscript", Stage.MATCH, combination="torch2.1", difference="output: values differ"
    )
    made = make(record, discover(models=[file]), _source("torch2.1"), cell="torch2.1/pooled/onnx-torchscript")
    assert isinstance(made, Made)
    ended = trying.run(made.text)
    assert ended.code == 1, ended.log
    assert "AssertionError: output: values differ, relative error" in ended.log
    ended = trying.run(made.under(_source("torch2.9")).text)
    assert ended.passed, ended.log
