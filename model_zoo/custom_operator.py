"""What the guides say cannot be exported (claim C9): an operator registered with `torch.library`.

It has no ONNX symbolic, as a user's operator has none before somebody writes it.
"""

from __future__ import annotations

import functools
from typing import Any

from harness.bench import Inputs, Model, State, uniform


def soft_clip(x: Any, limit: float) -> Any:
    """`x` bent smoothly into (-limit, limit)."""
    return limit * x / (limit + x.abs())


@functools.cache
def registered() -> Any:
    """The library that holds the operator; it lives as long as the process, or the operator would go with it."""
    import torch

    if hasattr(torch.ops.conversion_harness, "soft_clip"):
        return None
    library = torch.library.Library("conversion_harness", "DEF")
    library.define("soft_clip(Tensor x, float limit) -> Tensor")
    library.impl("soft_clip", soft_clip, "CompositeExplicitAutograd")
    return library


def build() -> Any:
    """Two linear layers with the operator between them."""
    import torch
    from torch import nn

    registered()

    class Clipped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(16, 32)
            self.second = nn.Linear(32, 4)

        def forward(self, features: Any) -> Any:
            return self.second(torch.ops.conversion_harness.soft_clip(self.first(features), 1.5))

    return Clipped()


def features(seed: str, batch: int = 2) -> Inputs:
    """A batch of feature vectors."""
    return {"features": uniform((batch, 16), seed=seed, low=-2.0, high=2.0)}


def twin(state: State) -> Any:
    """The same in TensorFlow, where the operator is three of its own: what the guides advise for custom operators."""
    import tensorflow as tf

    def dense(name: str) -> Any:
        kernel = state[f"{name}.weight"].T
        layer = tf.keras.layers.Dense(kernel.shape[1])
        layer.build((None, kernel.shape[0]))
        layer.set_weights([kernel, state[f"{name}.bias"]])
        return layer

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = dense("first")
            self.second = dense("second")

        def __call__(self, features: Any) -> Any:
            x = self.first(features)
            return self.second(1.5 * x / (1.5 + tf.abs(x)))

    return Twin()


MODEL = Model(
    summary="An operator of torch.library without an ONNX symbolic: exporters must refuse it by name",
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
    twin=twin,
)
