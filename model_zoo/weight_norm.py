"""Canary: the parametrised `weight_norm` names its weights anew, and what maps weights by name breaks.

`torch.nn.utils.parametrizations.weight_norm` came with torch 2.1, and libraries take it where it is to be had:
https://github.com/pytorch/pytorch/issues/102999, pull request 103001. `weight_g` and `weight_v` are then called
`parametrizations.weight.original0` and `original1`. The twin knows the old names, as one written for torch 2.0 does.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform

CHANNELS = 8


def build() -> Any:
    """Two one-dimensional convolutions with weight normalisation, as in vocoders, whichever API this torch has."""
    from torch import nn

    normed = getattr(nn.utils.parametrizations, "weight_norm", None) or nn.utils.weight_norm
    return nn.Sequential(
        normed(nn.Conv1d(CHANNELS, 16, 3, padding=1)), nn.LeakyReLU(0.1), normed(nn.Conv1d(16, CHANNELS, 3, padding=1))
    )


def signals(seed: str, batch: int = 2, length: int = 24) -> Inputs:
    """A batch of signals, channels first."""
    return {"input": uniform((batch, CHANNELS, length), seed=seed, low=-2.0, high=2.0)}


def twin(state: State) -> Any:
    """The normalisation folded into the kernels; `weight_g` and `weight_v` are asked for by name."""
    import numpy as np
    import tensorflow as tf

    layers = tf.keras.layers
    convolutions = []
    for index, incoming in ((0, CHANNELS), (2, 16)):
        magnitude, direction = state[f"{index}.weight_g"], state[f"{index}.weight_v"]
        norm = np.sqrt((direction**2).sum(axis=(1, 2), keepdims=True))
        kernel = magnitude * direction / norm
        convolution = layers.Conv1D(kernel.shape[0], 3, padding="same")
        convolution.build((None, None, incoming))
        convolution.set_weights([kernel.transpose(2, 1, 0), state[f"{index}.bias"]])
        convolutions.append(convolution)

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolutions = convolutions

        def __call__(self, signal: Any) -> Any:
            first, second = self.convolutions
            x = tf.nn.leaky_relu(first(tf.transpose(signal, (0, 2, 1))), alpha=0.1)
            return tf.transpose(second(x), (0, 2, 1))

    return Twin()


MODEL = Model(
    summary="Canary pytorch#102999: weight_norm, whose weights have other names from torch 2.1 on",
    family="canary",
    build=build,
    example=lambda: signals("example"),
    probes={
        "other-values": lambda: signals("other values"),
        "more-values": lambda: signals("more values"),
        "single": lambda: signals("single", batch=1),
        "longer": lambda: signals("longer", length=40),
    },
    dynamic={"input": {0: "batch", 2: "length"}},
    twin=twin,
    tier="core",
    expected_breaks="manual-recreation fails at convert from torch 2.1 on (KeyError: weight_g)",
)
