"""Canary: `nn.MultiheadAttention` in eval mode, with a dynamic length.

Under torch 2.0.1 it fails loudly, on `aten::unflatten`. From 2.1 on the length of the example is written into the graph
in silence, and any other length fails when it is run: https://github.com/pytorch/pytorch/issues/120075 and 122321.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

WIDTH = 32
HEADS = 4


def build() -> Any:
    """Self-attention in one layer of the framework's own, and a linear head."""
    from torch import nn

    class MultiheadAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
            self.head = nn.Linear(WIDTH, 5)

        def forward(self, sequence: Any) -> Any:
            mixed, _ = self.attention(sequence, sequence, sequence, need_weights=False)
            return self.head(mixed)

    return MultiheadAttention()


def sequences(seed: str, batch: int = 2, length: int = 8) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, WIDTH), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="Canary pytorch#120075: nn.MultiheadAttention, whose exported graph keeps the length of the example",
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
    expected_breaks="onnx-torchscript fails at convert under torch 2.0, and at probe from 2.1 on (pytorch#120075)",
)
