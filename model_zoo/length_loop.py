"""What the guides say cannot be exported (claim C8): a Python loop over the length of a sequence.

The TorchScript exporter unrolls as many steps as the example has. A longer sequence is cut short without an error;
a shorter one makes the runtime read past its end.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform

FEATURES = 8
HIDDEN = 16


def build() -> Any:
    """A recurrent cell written by hand, and a linear head on its last state."""
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.Linear(FEATURES + HIDDEN, HIDDEN)
            self.head = nn.Linear(HIDDEN, 4)

        def forward(self, sequence: Any) -> Any:
            state = sequence.new_zeros((sequence.shape[0], HIDDEN))
            for step in range(sequence.shape[1]):
                state = torch.tanh(self.cell(torch.cat([sequence[:, step], state], dim=1)))
            return self.head(state)

    return Recurrent()


def sequences(seed: str, batch: int = 2, length: int = 6) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, FEATURES), seed=seed)}


def twin(state: State) -> Any:
    """The same cell in a `tf.while_loop`, which takes any length."""
    import tensorflow as tf

    layers = tf.keras.layers

    def dense(name: str) -> Any:
        kernel = state[f"{name}.weight"].T
        layer = layers.Dense(kernel.shape[1])
        layer.build((None, kernel.shape[0]))
        layer.set_weights([kernel, state[f"{name}.bias"]])
        return layer

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = dense("cell")
            self.head = dense("head")

        def __call__(self, sequence: Any) -> Any:
            def advance(step: Any, hidden: Any) -> tuple[Any, Any]:
                return step + 1, tf.tanh(self.cell(tf.concat([sequence[:, step], hidden], axis=1)))

            start = (tf.constant(0), tf.zeros((tf.shape(sequence)[0], HIDDEN)))
            _, hidden = tf.while_loop(lambda step, _: step < tf.shape(sequence)[1], advance, start)
            return self.head(hidden)

    return Twin()


MODEL = Model(
    summary="A Python loop over the sequence's length: traced exports unroll the example's length",
    family="hard-to-export",
    build=build,
    example=lambda: sequences("example"),
    probes={
        "other-values": lambda: sequences("other values"),
        "more-values": lambda: sequences("more values"),
        "larger-batch": lambda: sequences("larger batch", batch=5),
        "longer": lambda: sequences("longer", length=9),
        "shorter": lambda: sequences("shorter", length=4),
    },
    dynamic={"sequence": {0: "batch", 1: "length"}},
    twin=twin,
)
