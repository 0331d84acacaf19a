"""Models of a user's own: the template, and models that come as saved files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.matrix import template
from tests.real.conftest import ROOT

pytestmark = pytest.mark.real

Call = Callable[..., subprocess.CompletedProcess[str]]

SAVE = """
import torch
module = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh()).eval()
torch.save(module.state_dict(), "weights.pt")
torch.save({"anything": print, "weights": module}, "pickled.pt")
torch.jit.script(module).save("scripted.pt")
if hasattr(torch, "export"):
    torch.export.save(torch.export.export(module, (torch.zeros(2, 8),)), "exported.pt2")
"""

MODEL = """
from pathlib import Path
from harness.bench import Model, uniform
from harness.bench.saved import exported_program, state_dict, torchscript

HERE = Path(__file__).parent


def plain():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh())


MODEL = Model(
    summary="saved", family="own", {source},
    example=lambda: {{"x": uniform((2, 8))}},
    probes={{"other": lambda: {{"x": uniform((2, 8), seed=1)}}, "more": lambda: {{"x": uniform((2, 8), seed=2)}}}},
)
"""

SOURCES = {
    "from-state-dict": 'build=plain, weights=lambda: state_dict(HERE / "weights.pt")',
    "from-torchscript": 'build=lambda: torchscript(HERE / "scripted.pt"), keep_weights=True',
    "from-export": 'build=lambda: exported_program(HERE / "exported.pt2"), keep_weights=True',
    "from-pickle": 'build=plain, weights=lambda: state_dict(HERE / "pickled.pt")',
    "wrong-weights": "build=plain, weights=lambda: {'0.weight': uniform((4, 8))}",
    "forward-raises": "build=lambda: __import__('torch').nn.Linear(9, 4)",
}


@pytest.fixture(scope="module")
def rows(bench: Call, pinned: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([str(pinned("torch2.1")), "-c", SAVE], cwd=folder, check=True)
    for name, source in SOURCES.items():
        (folder / f"{name.replace('-', '_')}.py").write_text(MODEL.format(source=source), encoding="utf-8")
    strategies = ("--strategies=native", "--strategies=onnx-torchscript")
    done = bench("torch2.1", f"--models={folder}", *strategies, "--measure-s=0.05", "--out", folder / "out")
    assert done.returncode == 1, done.stdout + done.stderr
    found = [json.loads(path.read_text(encoding="utf-8"))["row"] for path in (folder / "out/records").glob("*.json")]
    return {f"{row['model']}/{row['strategy']}": row for row in found}


@pytest.mark.parametrize("name", ["from-state-dict", "from-torchscript"])
@pytest.mark.parametrize("strategy", ["native", "onnx-torchscript"])
def test_a_saved_model_runs_with_its_own_weights(rows: dict[str, Any], name: str, strategy: str) -> None:
    assert rows[f"{name}/{strategy}"]["outcome"] == "passed", rows[f"{name}/{strategy}"]
    assert rows[f"{name}/{strategy}"]["weights_digest"] == rows["from-torchscript/native"]["weights_digest"]


def test_an_exported_program_runs(rows: dict[str, Any]) -> None:
    assert rows["from-export/native"]["outcome"] == "passed", rows["from-export/native"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("from-pickle", "Weights only load failed"),
        ("wrong-weights", "no value for 0.bias"),
        ("forward-raises", "shapes cannot be multiplied"),
    ],
)
def test_what_a_users_file_gets_wrong_is_told(rows: dict[str, Any], name: str, told: str) -> None:
    row = rows[f"{name}/native"]
    assert (row["outcome"], row["stage"]) == ("failed", "build"), row
    assert told in row["error"], row


def test_the_template_runs_as_it_is(bench: Call, tmp_path: Path) -> None:
    path = template.write("my-model", tmp_path / "models")
    done = bench("torch2.0", "--models", path, "--strategies=native", "--measure-s=0.05", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ROOT not in path.parents
