"""Models without a file, from the spec on the command line to their cells."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.given.placing import placed

pytestmark = pytest.mark.real

Call = Callable[..., subprocess.CompletedProcess[str]]

NETS = """
import torch


class Ranker(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.items = torch.nn.Embedding(1000, 8)
        self.head = torch.nn.Linear(8, 4)

    def forward(self, ids, scale):
        return self.head(self.items(ids)).mean(1) * scale


def make_ranker():
    return Ranker()


ranker = Ranker()
"""

INPUTS = ("--input", "ids:int64[batch=2,length=16]<1000", "--input", "scale:float32[batch,1]>=0<1")


def _rows(folder: Path) -> dict[str, Any]:
    found = [json.loads(path.read_text(encoding="utf-8"))["row"] for path in folder.glob("records/*.json")]
    return {f"{row['model']}/{row['strategy']}": row for row in found}


def test_models_of_torchvision(bench: Call, tmp_path: Path) -> None:
    specs = ["torchvision:resnet18", "torchvision:lraspp_mobilenet_v3_large", "torchvision:resnet81"]
    files = [f"--models={path}" for path in placed(tmp_path, specs, []).models]
    strategies = ("--strategies=native", "--strategies=onnx-torchscript")
    bench("torch2.1", *files, *strategies, "--measure-s=0.05", "--out", tmp_path / "out")
    rows = _rows(tmp_path / "out")
    for name in ("resnet18", "lraspp-mobilenet-v3-large"):
        for strategy in ("native", "onnx-torchscript"):
            row = rows[f"torchvision-{name}/{strategy}"]
            assert row["outcome"] == "passed", row
            assert (row["probes_passed"], row["probes_skipped"]) == (4, 0), row
    unknown = rows["torchvision-resnet81/native"]
    assert "unknown model of this torchvision 'resnet81'. Did you mean 'resnet18'?" in unknown["error"], unknown


@pytest.mark.parametrize("attribute", ["make_ranker", "ranker"])
def test_a_factory_of_a_users_package(
    harness: Call, pinned: Callable[[str], Path], tmp_path: Path, attribute: str
) -> None:
    pinned("torch2.1")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "nets.py").write_text(NETS, encoding="utf-8")
    given = (f"--models=shop.nets:{attribute}", *INPUTS, "--path", tmp_path, "--strategies=native", "--device=cpu")
    done = harness("run", "torch2.1", *given, "--results", tmp_path / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    name = attribute.replace("_", "-")
    assert f"torch2.1/{name}/native: passed" in done.stdout


BERT = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "id2label": {"0": "no", "1": "perhaps", "2": "yes"},
}
VIT = {
    "model_type": "vit",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
}


@pytest.mark.long
def test_models_of_hugging_face(bench: Call, tmp_path: Path) -> None:
    for name, config in (("bert", BERT), ("vit", VIT)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
    files = [
        f"--models={path}"
        for path in placed(tmp_path, [f"hf:{tmp_path / name}" for name in ("bert", "vit")], []).models
    ]
    strategies = ("--strategies=native", "--strategies=onnx-torchscript")
    bench("torch2.1+tools", *files, *strategies, "--measure-s=0.05", "--out", tmp_path / "out")
    rows = _rows(tmp_path / "out")
    for name, probes in (("hf-bert", 7), ("hf-vit", 4)):
        for strategy in ("native", "onnx-torchscript"):
            row = rows[f"{name}/{strategy}"]
            assert (row["outcome"], row["probes_passed"]) == ("passed", probes), row
