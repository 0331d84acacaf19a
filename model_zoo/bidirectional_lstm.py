"""A tagger: an LSTM in both directions, and an output for each step."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, integers

VOCABULARY = 60
WIDTH = 16
HIDDEN = 24


def build() -> Any:
    """Token embedding, one bidirectional LSTM layer, a linear head on every step."""
    from torch import nn

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, WIDTH)
            self.lstm = nn.LSTM(WIDTH, HIDDEN, batch_first=True, bidirectional=True)
            self.head = nn.Linear(2 * HIDDEN, 7)

        def forward(self, ids: Any) -> Any:
            steps, _ = self.lstm(self.tokens(ids))
            return self.head(steps)

    return Tagger()


def sentences(seed: str, batch: int = 2, length: int = 9) -> Inputs:
    """Token ids."""
    return {"ids": integers((batch, length), low=0, high=VOCABULARY, seed=seed)}


def twin(state: State) -> Any:
    """A Keras LSTM behind `Bidirectional`."""
    import tensorflow as tf

    layers = tf.keras.layers
    lstm = layers.Bidirectional(layers.LSTM(HIDDEN, return_sequences=True))
    head = layers.Dense(7)
    network = tf.keras.Sequential([layers.Input((None, WIDTH)), lstm, head])
    weights = []
    for direction in ("l0", "l0_reverse"):
        weights += [state[f"lstm.weight_{part}_{direction}"].T for part in ("ih", "hh")]
        weights.append(state[f"lstm.bias_ih_{direction}"] + state[f"lstm.bias_hh_{direction}"])
    lstm.set_weights(weights)
    head.set_weights([state["head.weight"].T, state["head.bias"]])

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = tf.Variable(state["tokens.weight"])
            self.network = network

        def __call__(self, ids: Any) -> Any:
            return self.network(tf.gather(self.tokens, ids), training=False)

    return Twin()


MODEL = Model(
    summary="A bidirectional LSTM over tokens with a linear head on every step",
    family="sequence",
    build=build,
    example=lambda: sentences("example"),
    probes={
        "other-values": lambda: sentences("other values"),
        "more-values": lambda: sentences("more values"),
        "single": lambda: sentences("single", batch=1),
        "longer": lambda: sentences("longer", length=15),
        "shorter-and-more": lambda: sentences("shorter and more", batch=4, length=4),
    },
    dynamic={"ids": {0: "batch", 1: "length"}},
    gains={"tokens.weight": 3.0, "head.weight": 3.0, "lstm.*": 1.5},
    twin=twin,
    tier="core",
)
