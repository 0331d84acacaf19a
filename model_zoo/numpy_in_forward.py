"""What the guides say cannot be exported (claim C9): a step that leaves torch, here for NumPy.

So does a call into a compiled extension. The tracer sees nothing of what happens outside, and writes the result for the
example into the graph as a constant; the rest of the graph still follows its input.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """Two linear layers with NumPy's arc tangent on a branch between them."""
    import numpy as np
    import torch
    from torch import nn

    class Bent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(16, 32)
            self.second = nn.Linear(32, 4)

        def forward(self, features: Any) -> Any:
            hidden = self.first(features)
            bent = torch.from_numpy(np.arctan(hidden.detach().cpu().numpy()))
            return self.second(hidden + 4 * bent.to(hidden.device))

    return Bent()


def features(seed: str, batch: int = 2) -> Inputs:
    """A batch of feature vectors."""
    return {"features": uniform((batch, 16), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="A step in NumPy inside of forward: nothing that traces can see it",
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
    expected_breaks="onnx-torchscript mismatches on probes in every version: the example's result is a constant",
)
