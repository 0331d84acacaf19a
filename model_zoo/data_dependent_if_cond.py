"""What the guides say cannot be exported (claim C7): an `if` on a tensor's value, as `torch.cond`.

`torch.export` keeps both branches of it; the TorchScript exporter refuses it, since torch compiles it by dynamo.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, NotApplicable, uniform

FEATURES = 16


def build() -> Any:
    """Two experts and a gate: the mean of the whole batch decides which of them answers."""
    import torch
    from torch import nn

    if not hasattr(torch, "cond"):
        msg = f"torch.cond does not exist in torch {torch.__version__}"
        raise NotApplicable(msg)

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.positive = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 4))
            self.negative = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 4))

        def forward(self, features: Any) -> Any:
            return torch.cond(features.mean() > 0, self.positive_expert, self.negative_expert, (features,))

        def positive_expert(self, features: Any) -> Any:
            return self.positive(features)

        def negative_expert(self, features: Any) -> Any:
            return self.negative(features)

    return Gated()


def positive(seed: str, batch: int = 8) -> Inputs:
    """Features whose mean is far above zero."""
    return {"features": uniform((batch, FEATURES), seed=seed, low=-1.0, high=3.0)}


def negative(seed: str, batch: int = 8) -> Inputs:
    """Features whose mean is far below zero: the branch that the example does not take."""
    return {"features": uniform((batch, FEATURES), seed=seed, low=-3.0, high=1.0)}


MODEL = Model(
    summary="torch.cond on the mean of the input: exporters by torch.export must keep both branches",
    family="hard-to-export",
    build=build,
    example=lambda: positive("example"),
    probes={
        "same-branch": lambda: positive("same branch"),
        "other-branch": lambda: negative("other branch"),
        "smaller-batch": lambda: positive("smaller batch", batch=3),
        "larger-batch-other-branch": lambda: negative("larger batch", batch=12),
    },
    dynamic={"features": {0: "batch"}},
    # Running it imports this, which crashes once TensorFlow is imported (seen with torch 2.13 and TensorFlow 2.21).
    imports=("torch", "torch._dynamo"),
    tier="core",
    expected_breaks="onnx-torchscript fails at convert: it cannot trace torch.cond",
)
