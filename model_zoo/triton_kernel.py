"""What the guides say cannot be exported (claim C9): a custom kernel for the GPU, in Triton.

The operator has the kernel on CUDA and the same formula on the CPU, where native outputs are made and models are
converted. Exporters see one operator that they do not know, on either.
"""

from __future__ import annotations

import functools
from typing import Any

from harness.bench import Inputs, Model, NotApplicable, uniform


def on_cpu(x: Any, limit: float) -> Any:
    """What the kernel computes."""
    return limit * x / (limit + x.abs())


def on_gpu(x: Any, limit: float) -> Any:
    """The kernel; importing it needs Triton."""
    from model_zoo._triton_soft_clip import soft_clip

    return soft_clip(x, limit)


@functools.cache
def registered() -> Any:
    """The library that holds the operator; it lives as long as the process, or the operator would go with it."""
    import torch

    if hasattr(torch.ops.conversion_harness_triton, "soft_clip"):
        return None
    library = torch.library.Library("conversion_harness_triton", "DEF")
    library.define("soft_clip(Tensor x, float limit) -> Tensor")
    library.impl("soft_clip", on_cpu, "CPU")
    library.impl("soft_clip", on_gpu, "CUDA")
    return library


def build() -> Any:
    """Two linear layers with the operator between them."""
    import importlib.util

    import torch
    from torch import nn

    if importlib.util.find_spec("triton") is None:
        msg = "a Triton kernel needs the package triton, which is not installed"
        raise NotApplicable(msg)
    if not torch.cuda.is_available():
        msg = "a Triton kernel needs a GPU, and torch sees none"
        raise NotApplicable(msg)
    registered()

    class Clipped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(16, 32)
            self.second = nn.Linear(32, 4)

        def forward(self, features: Any) -> Any:
            return self.second(torch.ops.conversion_harness_triton.soft_clip(self.first(features), 1.5))

    return Clipped()


def features(seed: str, batch: int = 2) -> Inputs:
    """A batch of feature vectors."""
    return {"features": uniform((batch, 16), seed=seed, low=-2.0, high=2.0)}


MODEL = Model(
    summary="A Triton kernel behind an operator of torch.library: not applicable without a GPU",
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
    expected_breaks="every exporter; without a GPU not applicable",
)
