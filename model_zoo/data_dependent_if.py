"""What the guides say cannot be exported (claim C7): a Python `if` on a tensor's value.

The TorchScript exporter follows the branch that the example takes and forgets the other without an error; only the
probes that take the other branch show it.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform

FEATURES = 16


def build() -> Any:
    """Two experts and a gate: the mean of the whole batch decides which of them answers."""
    from torch import nn

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.positive = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 4))
            self.negative = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 4))

        def forward(self, features: Any) -> Any:
            if features.mean() > 0:
                return self.positive(features)
            return self.negative(features)

    return Gated()


def positive(seed: str, batch: int = 8) -> Inputs:
    """Features whose mean is far above zero."""
    return {"features": uniform((batch, FEATURES), seed=seed, low=-1.0, high=3.0)}


def negative(seed: str, batch: int = 8) -> Inputs:
    """Features whose mean is far below zero: the branch that the example does not take."""
    return {"features": uniform((batch, FEATURES), seed=seed, low=-3.0, high=1.0)}


def twin(state: State) -> Any:
    """The same two experts behind `tf.cond`."""
    import tensorflow as tf

    layers = tf.keras.layers

    def expert(name: str, activation: str) -> Any:
        network = tf.keras.Sequential(
            [layers.Input((FEATURES,)), layers.Dense(32, activation=activation), layers.Dense(4)]
        )
        network.set_weights(
            [
                state[f"{name}.0.weight"].T,
                state[f"{name}.0.bias"],
                state[f"{name}.2.weight"].T,
                state[f"{name}.2.bias"],
            ]
        )
        return network

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.positive = expert("positive", "relu")
            self.negative = expert("negative", "tanh")

        def __call__(self, features: Any) -> Any:
            return tf.cond(
                tf.reduce_mean(features) > 0,
                lambda: self.positive(features, training=False),
                lambda: self.negative(features, training=False),
            )

    return Twin()


MODEL = Model(
    summary="A Python if on the mean of the input: traced exports keep the example's branch in silence",
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
    twin=twin,
)
