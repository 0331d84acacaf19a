"""Accuracy trap (claim C17): inputs that need float64, and a twin that takes them as float32.

Seconds since 1970 are near 1.7e9, where float32 has steps of 128 seconds. The module subtracts a reference time before
it does anything else; Keras casts to float32 first, since that is its default.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform

EVENTS = 8
REFERENCE_S = 1_700_000_000.0
SPAN_S = 600.0


def build() -> Any:
    """Two linear layers in float64 on the time since the reference."""
    import torch
    from torch import nn

    class Timestamps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(EVENTS, 16)
            self.second = nn.Linear(16, 3)

        def forward(self, seconds: Any) -> Any:
            # Not a ReLU, which ONNX Runtime would fuse: that is `float64-gemm`.
            return self.second(self.first((seconds - REFERENCE_S) / SPAN_S).abs())

    return Timestamps().to(torch.float64)


def times(seed: str, batch: int = 4) -> Inputs:
    """Times of events within ten minutes of the reference."""
    import numpy as np

    offsets = uniform((batch, EVENTS), seed=seed, low=-SPAN_S, high=SPAN_S)
    return {"seconds": REFERENCE_S + offsets.astype(np.float64)}


def twin(state: State) -> Any:
    """The same layers in Keras's default float32, cast back to float64 at the end."""
    import tensorflow as tf

    layers = tf.keras.layers
    first, second = layers.Dense(16, activation=tf.abs), layers.Dense(3)
    network = tf.keras.Sequential([layers.Input((EVENTS,)), first, second])
    first.set_weights([state["first.weight"].T, state["first.bias"]])
    second.set_weights([state["second.weight"].T, state["second.bias"]])

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def __call__(self, seconds: Any) -> Any:
            elapsed = (tf.cast(seconds, tf.float32) - REFERENCE_S) / SPAN_S
            return tf.cast(self.network(elapsed, training=False), tf.float64)

    return Twin()


MODEL = Model(
    summary="Times in float64 near 1.7e9, with a twin that casts them to float32",
    family="accuracy-trap",
    build=build,
    example=lambda: times("example"),
    probes={
        "other-values": lambda: times("other values"),
        "more-values": lambda: times("more values"),
        "single": lambda: times("single", batch=1),
        "larger-batch": lambda: times("larger batch", batch=9),
    },
    dynamic={"seconds": {0: "batch"}},
    gains={"*.weight": 1.5},
    twin=twin,
    tier="core",
    expected_breaks="manual-recreation mismatches in every version; converters without float64 fail or mismatch",
)
