"""Canary: plain `scaled_dot_product_attention`, which has an ONNX symbolic from torch 2.1 on, at opset 14 and above.

https://github.com/pytorch/pytorch/issues/97262, mended by pull request 99658.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

WIDTH = 32
HEADS = 4


def build() -> Any:
    """Causal self-attention in one call, and a linear head."""
    from torch import nn

    class FusedAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixed_in = nn.Linear(WIDTH, 3 * WIDTH)
            self.head = nn.Linear(WIDTH, 5)

        def forward(self, sequence: Any) -> Any:
            batch, length, width = sequence.shape
            split = self.mixed_in(sequence).reshape(batch, length, 3, HEADS, width // HEADS)
            query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
            mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            return self.head(mixed.transpose(1, 2).reshape(batch, length, width))

    return FusedAttention()


def sequences(seed: str, batch: int = 2, length: int = 8) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, WIDTH), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="Canary pytorch#97262: scaled_dot_product_attention, which the exporter of torch 2.0 does not know",
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
    expected_breaks="onnx-torchscript fails at convert under torch 2.0, and at opsets below 14 in every version",
)
