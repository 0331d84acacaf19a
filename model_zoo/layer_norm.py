"""Canary: `LayerNorm` at the default opset.

torch 2.0 writes opset 14 and decomposes it; torch 2.1 writes opset 17 and one `LayerNormalization` operator, which
onnx-tf does not know: https://github.com/onnx/onnx-tensorflow/issues/1059.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

WIDTH = 32
HEADS = 4


def build() -> Any:
    """A LayerNorm between two linear layers."""
    from torch import nn

    class NormedNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(WIDTH, WIDTH)
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, 5)

        def forward(self, sequence: Any) -> Any:
            return self.head(self.norm(self.first(sequence)).relu())

    return NormedNetwork()


def sequences(seed: str, batch: int = 2, length: int = 8) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, WIDTH), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="Canary onnx-tensorflow#1059: LayerNorm, one operator from opset 17 on, the default from torch 2.1 on",
    family="canary",
    build=build,
    example=lambda: sequences("example"),
    probes={
        "other-values": lambda: sequences("other values"),
        "more-values": lambda: sequences("more values"),
        "single": lambda: sequences("single", batch=1),
        "longer": lambda: sequences("longer", length=13),
        "shorter": lambda: sequences("shorter", length=3),
    },
    dynamic={"sequence": {0: "batch", 1: "length"}},
    tier="core",
    expected_breaks="onnx-tf fails from torch 2.1 on, whose default is LayerNormalization (onnx-tensorflow#1059)",
)
