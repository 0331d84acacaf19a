"""Canary: `scaled_dot_product_attention` with `scale=`.

torch 2.0 has no such parameter. From 2.1.0 until 2.5 the operator's ONNX symbolic raises `AttributeError`, since it
takes the float for a graph value: https://github.com/pytorch/pytorch/issues/135615.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, NotApplicable, uniform

WIDTH = 32
HEADS = 4


def build() -> Any:
    """Self-attention with a scale of its own, and a linear head."""
    import torch
    from torch import nn

    if "scale=" not in (nn.functional.scaled_dot_product_attention.__doc__ or ""):
        msg = f"scaled_dot_product_attention takes scale= from torch 2.1 on; this is {torch.__version__}"
        raise NotApplicable(msg)

    class ScaledAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixed_in = nn.Linear(WIDTH, 3 * WIDTH)
            self.head = nn.Linear(WIDTH, 5)

        def forward(self, sequence: Any) -> Any:
            batch, length, width = sequence.shape
            split = self.mixed_in(sequence).reshape(batch, length, 3, HEADS, width // HEADS)
            query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
            mixed = nn.functional.scaled_dot_product_attention(query, key, value, scale=0.25)
            return self.head(mixed.transpose(1, 2).reshape(batch, length, width))

    return ScaledAttention()


def sequences(seed: str, batch: int = 2, length: int = 8) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, WIDTH), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="Canary pytorch#135615: scaled_dot_product_attention with scale=, whose symbolic took a float for a node",
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
    expected_breaks="onnx-torchscript fails at convert with AttributeError from torch 2.1.0 until 2.5 (pytorch#135615)",
)
