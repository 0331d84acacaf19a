"""Canary: ONNX Runtime fuses a Gemm and its activation, and has no fused kernel for float64.

The graph is right and each of its operators has a kernel for float64; the optimiser's own operator has none, and the
session refuses to load: https://github.com/microsoft/onnxruntime/issues/6320.
Seen in 1.15, and no more in 1.28.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

FEATURES = 8


def build() -> Any:
    """Two linear layers and a ReLU in float64, as scientific code has them."""
    import torch
    from torch import nn

    return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, 3)).to(torch.float64)


def features(seed: str, batch: int = 4) -> Inputs:
    """A batch of feature vectors in float64."""
    import numpy as np

    return {"input": uniform((batch, FEATURES), seed=seed, low=-2.0, high=2.0).astype(np.float64)}


MODEL = Model(
    summary="Canary onnxruntime#6320: linear layers in float64, fused into an operator without a kernel for it",
    family="canary",
    build=build,
    example=lambda: features("example"),
    probes={
        "other-values": lambda: features("other values"),
        "more-values": lambda: features("more values"),
        "single": lambda: features("single", batch=1),
        "larger-batch": lambda: features("larger batch", batch=9),
    },
    dynamic={"input": {0: "batch"}},
    gains={"*.weight": 1.5},
    tier="core",
    expected_breaks="onnx-torchscript fails at load in onnxruntime 1.15: FusedGemm has no kernel for float64",
)
