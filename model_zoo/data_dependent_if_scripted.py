"""What the guides say cannot be exported (claim C7): an `if` on a tensor's value, in its scripted form.

`torch.jit.script` keeps both branches, and the TorchScript exporter writes a real `If`. The same experts traced are
`data-dependent-if`, and behind `torch.cond` `data-dependent-if-cond`.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

FEATURES = 16


def build() -> Any:
    """Two experts and a gate: the mean of the whole batch decides which of them answers."""
    import torch
    from torch import nn

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.positive = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 4))
            self.negative = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 4))

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            if features.mean() > 0:
                return self.positive(features)
            return self.negative(features)

    return torch.jit.script(Gated())


def positive(seed: str, batch: int = 8) -> Inputs:
    """Features whose mean is far above zero."""
    return {"features": uniform((batch, FEATURES), seed=seed, low=-1.0, high=3.0)}


def negative(seed: str, batch: int = 8) -> Inputs:
    """Features whose mean is far below zero: the branch that the example does not take."""
    return {"features": uniform((batch, FEATURES), seed=seed, low=-3.0, high=1.0)}


MODEL = Model(
    summary="A scripted if on the mean of the input: both branches must come out of the export",
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
    tier="core",
    expected_breaks="onnx-dynamo fails at convert: torch.export takes no scripted module",
)
