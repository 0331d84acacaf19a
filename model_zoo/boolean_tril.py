"""Canary: a boolean mask by `tril`, which exports as a `Trilu` of booleans.

The exporter and the checker accept it. ONNX Runtime has a kernel for that type from 1.19 on, and says so when it loads
the graph: https://github.com/microsoft/onnxruntime/issues/16189, mended by pull request 20917.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

WIDTH = 32
HEADS = 4


def build() -> Any:
    """Causal self-attention with a boolean mask, and a linear head."""
    import torch
    from torch import nn

    class BooleanMask(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixed_in = nn.Linear(WIDTH, 3 * WIDTH)
            self.head = nn.Linear(WIDTH, 5)

        def forward(self, sequence: Any) -> Any:
            batch, length, width = sequence.shape
            split = self.mixed_in(sequence).reshape(batch, length, 3, HEADS, width // HEADS)
            query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
            visible = torch.ones(length, length, dtype=torch.bool, device=sequence.device).tril()
            scores = torch.matmul(query, key.transpose(2, 3)).masked_fill(~visible, float("-inf"))
            mixed = torch.matmul(scores.softmax(dim=-1), value)
            return self.head(mixed.transpose(1, 2).reshape(batch, length, width))

    return BooleanMask()


def sequences(seed: str, batch: int = 2, length: int = 8) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, WIDTH), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="Canary onnxruntime#16189: tril of booleans, for which ONNX Runtime has a kernel from 1.19 on",
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
    expected_breaks="onnx-torchscript fails at load before onnxruntime 1.19, and at convert below opset 14",
)
