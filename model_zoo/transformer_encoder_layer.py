"""Canary: `nn.TransformerEncoderLayer` takes a fused path in eval mode.

The TorchScript exporter does not know `aten::_transformer_encoder_layer_fwd`: https://github.com/pytorch/pytorch/issues/177013.
`torch.backends.mha.set_fastpath_enabled(False)` is the way around it.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

WIDTH = 32
HEADS = 4


def build() -> Any:
    """One encoder layer of the framework's own, and a linear head."""
    from torch import nn

    class EncoderLayer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(WIDTH, HEADS, dim_feedforward=64, batch_first=True)
            self.head = nn.Linear(WIDTH, 5)

        def forward(self, sequence: Any) -> Any:
            return self.head(self.layer(sequence))

    # Frozen, as for deployment: with gradients to be had, the fused path is not taken.
    return EncoderLayer().requires_grad_(False)


def sequences(seed: str, batch: int = 2, length: int = 8) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, WIDTH), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="Canary pytorch#177013: nn.TransformerEncoderLayer, whose fused path in eval mode has no ONNX symbolic",
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
    expected_breaks="onnx-torchscript fails at convert: aten::_transformer_encoder_layer_fwd (pytorch#177013)",
)
