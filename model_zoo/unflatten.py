"""Canary: `Tensor.unflatten` has no ONNX symbolic under torch 2.0.1, and has one under 2.1.

https://github.com/pytorch/pytorch/issues/98190
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

WIDTH = 32
HEADS = 4


def build() -> Any:
    """Channels split into groups, a softmax in each, and a linear head."""
    from torch import nn

    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(WIDTH, WIDTH)
            self.head = nn.Linear(WIDTH, 5)

        def forward(self, sequence: Any) -> Any:
            grouped = self.first(sequence).unflatten(-1, (HEADS, WIDTH // HEADS))
            return self.head(grouped.softmax(dim=-1).flatten(-2) * 4)

    return Grouped()


def sequences(seed: str, batch: int = 2, length: int = 8) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, WIDTH), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="Canary pytorch#98190: unflatten, unsupported by the TorchScript exporter of torch 2.0 and mended in 2.1",
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
    expected_breaks="onnx-torchscript fails at convert under torch 2.0: aten::unflatten",
)
