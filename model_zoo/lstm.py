"""A recurrent classifier of sequences, with the recurrence in one layer of the framework's own."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform

FEATURES = 16
HIDDEN = 32
LAYERS = 2


def build() -> Any:
    """Two stacked LSTM layers and a linear head on the last step."""
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(FEATURES, HIDDEN, num_layers=LAYERS, batch_first=True)
            self.head = nn.Linear(HIDDEN, 10)

        def forward(self, sequence: Any) -> Any:
            steps, _ = self.lstm(sequence)
            return self.head(steps[:, -1])

    return Classifier()


def sequences(seed: str, batch: int = 2, length: int = 10) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, FEATURES), seed=seed, low=-2.0, high=2.0)}


def twin(state: State) -> Any:
    """Two Keras LSTM layers; the gates have torch's order, its two biases are one here."""
    import tensorflow as tf

    layers = tf.keras.layers
    network = tf.keras.Sequential([layers.Input((None, FEATURES))])
    for index in range(LAYERS):
        lstm = layers.LSTM(HIDDEN, return_sequences=index < LAYERS - 1)
        network.add(lstm)
        kernel, recurrent = (state[f"lstm.weight_{part}_l{index}"].T for part in ("ih", "hh"))
        lstm.set_weights([kernel, recurrent, state[f"lstm.bias_ih_l{index}"] + state[f"lstm.bias_hh_l{index}"]])
    head = layers.Dense(10)
    network.add(head)
    head.set_weights([state["head.weight"].T, state["head.bias"]])

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def __call__(self, sequence: Any) -> Any:
            return self.network(sequence, training=False)

    return Twin()


MODEL = Model(
    summary="Two LSTM layers and a linear head on the last step, batch and length dynamic",
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
    gains={"head.weight": 3.0, "lstm.*": 1.5},
    twin=twin,
)
