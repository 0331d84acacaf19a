"""Where a mismatch begins, in pinned environments: a wrong pooling, models exported as something else, and the zoo."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.real

Bench = Callable[..., subprocess.CompletedProcess[str]]

START = """
from typing import Any

from harness.bench import Model, uniform


def exporting() -> bool:
    import torch

    told = getattr(getattr(torch, "compiler", None), "is_exporting", lambda: False)
    return bool(torch.onnx.is_in_onnx_export() or told())


def build() -> Any:
    import torch
    from torch import nn
    from torch.nn import functional as F
"""

END = """
    return Net()


def images(seed: int) -> Any:
    return {"x": uniform((2, 3, 14, 14), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="wrong in one place",
    family="test",
    build=build,
    example=lambda: images(0),
    probes={"other": lambda: images(1), "more": lambda: images(2)},
    dynamic={"x": {0: "batch"}},
)
"""

# The pooling is wrong in the artifact of torch 2.0 and 2.1, at the edge that `ceil_mode` adds.
CEIL_POOLING = """
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)
            self.pool = nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True)

        def forward(self, x: Any) -> Any:
            x = self.norm(self.conv(x)).relu_()
            x = self.pool(x)
            return self.head(x).tanh()
"""

WRONG_MIDDLE = """
    class Gate(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * (F.hardsigmoid(x) if exporting() else torch.sigmoid(x))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

        def forward(self, x: Any) -> Any:
            return x + self.norm(self.conv(x)).relu()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)
            self.one, self.gate, self.two = Block(), Gate(), Block()

        def forward(self, x: Any) -> Any:
            return self.head(self.two(self.gate(self.one(self.stem(x)))).mean((2, 3)))
"""

# What is wrong has no value of its own in the artifact: the exporter folds it into the convolution before it.
WRONG_AND_FOLDED = """
    class Norm(nn.BatchNorm2d):
        def forward(self, x: Any) -> Any:
            eps = 0.1 if exporting() else self.eps
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.1, eps)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), Norm(8), nn.Conv2d(8, 4, 1)

        def forward(self, x: Any) -> Any:
            return self.head(self.norm(self.conv(x)).relu())
"""

# A layout is nothing that is computed: both sides have the same numbers, in another order.
WRONG_ORDER = """
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(14, 14), nn.Linear(14, 4)

        def forward(self, x: Any) -> Any:
            x = self.first(x).relu()
            x = x.transpose(1, 2).reshape(-1, 3, 14, 14) if exporting() else x.transpose(2, 3)
            return self.second(x)
"""

MODELS = {
    "ceil_pooling": CEIL_POOLING,
    "wrong_middle": WRONG_MIDDLE,
    "wrong_and_folded": WRONG_AND_FOLDED,
    "wrong_order": WRONG_ORDER,
}


def located(bench: Bench, combination: str, strategy: str, tmp_path: Path, *zoo: str) -> dict[str, tuple[str, Any]]:
    """By model, the column and the details of each mismatch."""
    for name, text in MODELS.items():
        (tmp_path / f"{name}.py").write_text(f"{START}{text}{END}", encoding="utf-8")
    models = [f"--models={tmp_path / name}.py" for name in MODELS] + [f"--models=zoo:{name}" for name in zoo]
    done = bench(combination, *models, "--strategies", strategy, "--out", tmp_path / "out")
    found = {}
    for path in sorted((tmp_path / "out").rglob("*.json")):
        value = json.loads(path.read_text(encoding="utf-8"))
        if "row" in value and value["row"]["outcome"] == "mismatched":
            found[value["row"]["model"]] = value["row"]["begins_at"], value["details"]["begins"]
    assert found, done.stdout + done.stderr
    return found


def test_a_mismatch_names_where_it_begins(bench: Bench, tmp_path: Path) -> None:
    found = located(bench, "torch2.1", "onnx-torchscript", tmp_path, "data-dependent-if", "length-loop")
    line, details = found["ceil-pooling"]
    assert line.startswith("aten.avg_pool2d at pool (AvgPool2d, ceil_pooling.py:")
    assert line.endswith("); node /pool/AveragePool")
    assert (details["operator"], details["module"], details["seen"]) == ("aten.avg_pool2d", "pool", "explained")
    assert details["input_set"] == "example"
    assert details["relative_error"] > 0.01

    assert found["wrong-middle"][0].startswith("aten.sigmoid at gate (Gate, wrong_middle.py:")
    assert found["wrong-middle"][0].endswith("); node /gate/HardSigmoid")
    assert found["wrong-middle"][1]["side"] == "artifact"

    line, details = found["wrong-and-folded"]
    assert (details["operator"], details["until"]) == ("aten.convolution", "aten.native_batch_norm")
    assert details["node_types"] == ["Conv"]

    assert found["wrong-order"][1]["operator"] == "aten.transpose"

    line, details = found["data-dependent-if"]
    assert (details["operator"], details["module"], details["seen"]) == ("aten.addmm", "negative.0", "other-way")
    assert line.endswith("to which the example does not come")
    assert details["input_set"] == "other-branch"
    line, details = found["length-loop"]
    assert line.endswith("run 7 of it: on the example there are 6")


@pytest.mark.long
@pytest.mark.parametrize(
    ("combination", "strategy"),
    [("torch2.0", "onnx-torchscript"), ("torch2.9", "onnx-torchscript"), ("torch2.9", "onnx-dynamo")],
)
def test_it_is_the_same_over_versions_and_exporters(
    bench: Bench, tmp_path: Path, combination: str, strategy: str
) -> None:
    found = located(bench, combination, strategy, tmp_path)
    assert found["wrong-middle"][1]["operator"] == "aten.sigmoid"
    assert found["wrong-middle"][1]["module"] == "gate"
    assert found["wrong-middle"][1]["node_types"] == ["HardSigmoid"]
    assert found["wrong-and-folded"][1]["until"] == "aten.native_batch_norm"
    assert found["wrong-order"][1]["operator"] == "aten.transpose"
