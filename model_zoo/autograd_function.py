"""What the guides say cannot be exported (claim C9): an `autograd.Function` without an ONNX symbolic.

The TorchScript exporter looks into the function's forward and writes what it finds there, as long as that is torch.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """Two linear layers with a clamp between them, whose gradient passes straight through."""
    import torch
    from torch import nn

    class Clamp(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:  # noqa: ARG004 - torch passes it
            return x.clamp(-1.0, 1.0)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:  # noqa: ARG004
            return gradient

    class Clamped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(16, 32)
            self.second = nn.Linear(32, 4)

        def forward(self, features: Any) -> Any:
            return self.second(Clamp.apply(self.first(features)))

    return Clamped()


def features(seed: str, batch: int = 2) -> Inputs:
    """A batch of feature vectors."""
    return {"features": uniform((batch, 16), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="An autograd.Function without an ONNX symbolic, made of torch operators",
    family="hard-to-export",
    build=build,
    example=lambda: features("example"),
    probes={
        "other-values": lambda: features("other values"),
        "more-values": lambda: features("more values"),
        "single": lambda: features("single", batch=1),
        "larger-batch": lambda: features("larger batch", batch=5),
    },
    dynamic={"features": {0: "batch"}},
    tier="core",
)
