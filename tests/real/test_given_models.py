"""Models without a file, from the spec on the command line to their cells."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
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


def _ran(bench: Call, files: Sequence[str], *arguments: str | Path) -> dict[str, Any]:
    """The rows of the files' cells, natively and by the TorchScript exporter."""
    out = Path(files[0]).parents[3] / "out"
    strategies = ("--strategies=native", "--strategies=onnx-torchscript")
    models = [f"--models={path}" for path in files]
    done = bench("torch2.1", *models, *strategies, *arguments, "--measure-s=0.05", "--out", out)
    rows = _rows(out)
    assert len(rows) == 2 * len(files), done.stdout + done.stderr
    return rows


def test_models_without_a_file(bench: Call, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "nets.py").write_text(NETS, encoding="utf-8")
    files = [
        *placed(tmp_path, ["torchvision:resnet18", "torchvision:resnet81"], []).models,
        *placed(tmp_path, ["torchvision:lraspp_mobilenet_v3_large"], ["input:float32[batch=2,3,64,64]"]).models,
        *placed(tmp_path, ["shop.nets:ranker"], INPUTS[1::2]).models,
    ]
    rows = _ran(bench, files, "--path", tmp_path)
    for name in ("torchvision-resnet18", "torchvision-lraspp-mobilenet-v3-large", "ranker"):
        for strategy in ("native", "onnx-torchscript"):
            row = rows[f"{name}/{strategy}"]
            assert row["outcome"] == "passed", row
            assert (row["probes_passed"], row["probes_skipped"]) == (6 if name == "ranker" else 4, 0), row
    unknown = rows["torchvision-resnet81/native"]
    assert "unknown model of this torchvision 'resnet81'. Did you mean 'resnet18'?" in unknown["error"], unknown


def test_a_factory_of_a_users_package(harness: Call, pinned: Callable[[str], Path], tmp_path: Path) -> None:
    pinned("torch2.1")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "nets.py").write_text(NETS, encoding="utf-8")
    given = ("--models=shop.nets:make_ranker", *INPUTS, "--path", tmp_path, "--strategies=native", "--device=cpu")
    done = harness("run", "torch2.1", *given, "--results", tmp_path / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torch2.1/make-ranker/native: passed" in done.stdout


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
def test_models_of_hugging_face(harness: Call, pinned: Callable[[str], Path], tmp_path: Path) -> None:
    for name, config in (("bert", BERT), ("vit", VIT)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
    models = [f"--models=hf:{tmp_path / name}" for name in ("bert", "vit")]
    strategies = ("--strategies=native", "--strategies=onnx-torchscript", "--device=cpu")
    # The extension has Transformers.
    environment = ("--python", pinned("torch2.1+tools"), "--name", "transformers")
    done = harness("run", *environment, *models, *strategies, "--results", tmp_path / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    for cell in ("bert/native", "bert/onnx-torchscript", "vit/native", "vit/onnx-torchscript"):
        assert f"transformers/hf-{cell}: passed" in done.stdout, done.stdout
