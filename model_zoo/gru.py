"""A GRU, whose gates stand in another order in Keras and whose two biases do not add up to one."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform

FEATURES = 16
HIDDEN = 32


def build() -> Any:
    """One GRU layer, and a linear head on its last state."""
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)
            self.head = nn.Linear(HIDDEN, 10)

        def forward(self, sequence: Any) -> Any:
            _, last = self.gru(sequence)
            return self.head(last[0])

    return Classifier()


def sequences(seed: str, batch: int = 2, length: int = 10) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, FEATURES), seed=seed, low=-2.0, high=2.0)}


def twin(state: State) -> Any:
    """A Keras GRU with `reset_after`: torch's gates are reset, update, new, and Keras has update, reset, new."""
    import numpy as np
    import tensorflow as tf

    layers = tf.keras.layers

    def reordered(value: Any) -> Any:
        reset, update, new = np.split(value, 3, axis=0)
        return np.concatenate([update, reset, new], axis=0)

    gru = layers.GRU(HIDDEN, reset_after=True)
    head = layers.Dense(10)
    network = tf.keras.Sequential([layers.Input((None, FEATURES)), gru, head])
    kernel, recurrent = (reordered(state[f"gru.weight_{part}_l0"]).T for part in ("ih", "hh"))
    gru.set_weights([kernel, recurrent, np.stack([reordered(state[f"gru.bias_{part}_l0"]) for part in ("ih", "hh")])])
    head.set_weights([state["head.weight"].T, state["head.bias"]])

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def __call__(self, sequence: Any) -> Any:
            return self.network(sequence, training=False)

    return Twin()


MODEL = Model(
    summary="A GRU layer and a linear head on its last state, batch and length dynamic",
    family="sequence",
    build=build,
    example=lambda: sequences("example"),
    probes={
        "other-values": lambda: sequences("other values"),
        "more-values": lambda: sequences("more values"),
        "single": lambda: sequences("single", batch=1),
        "longer": lambda: sequences("longer", length=17),
        "shorter-and-more": lambda: sequences("shorter and more", batch=4, length=3),
    },
    dynamic={"sequence": {0: "batch", 1: "length"}},
    gains={"head.weight": 2.0, "gru.*": 1.5},
    twin=twin,
    tier="core",
)
