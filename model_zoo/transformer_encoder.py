"""A text encoder of standard operations only: what the guides promise to export well (claim C5).

Attention is written out with matmul and softmax. `nn.TransformerEncoderLayer` would take a fused path in eval that
the TorchScript exporter does not know; that is a model of its own, not this one.
"""

from __future__ import annotations

import math
from typing import Any

from harness.bench import Inputs, Model, State, integers

VOCABULARY = 100
LONGEST = 32
WIDTH = 32
HEADS = 4
LAYERS = 2


def build() -> Any:
    """Token and position embedding, two pre-norm layers, the mean over the tokens, five logits."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention_norm = nn.LayerNorm(WIDTH)
            self.query = nn.Linear(WIDTH, WIDTH)
            self.key = nn.Linear(WIDTH, WIDTH)
            self.value = nn.Linear(WIDTH, WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)
            self.feed_forward_norm = nn.LayerNorm(WIDTH)
            self.feed_forward = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

        def forward(self, x: Any) -> Any:
            batch, length, width = x.shape
            split = (batch, length, HEADS, width // HEADS)
            y = self.attention_norm(x)
            query = self.query(y).reshape(split).transpose(1, 2)
            key = self.key(y).reshape(split).permute(0, 2, 3, 1)
            value = self.value(y).reshape(split).transpose(1, 2)
            scores = torch.matmul(query, key) / math.sqrt(width // HEADS)
            mixed = torch.matmul(torch.softmax(scores, dim=-1), value)
            x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
            return x + self.feed_forward(self.feed_forward_norm(x))

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, WIDTH)
            self.positions = nn.Parameter(torch.zeros(LONGEST, WIDTH))
            self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, 5)

        def forward(self, ids: Any) -> Any:
            x = self.tokens(ids) + self.positions[: ids.shape[1]]
            for layer in self.layers:
                x = layer(x)
            return self.head(self.norm(x).mean(dim=1))

    return Encoder()


def sentences(seed: str, batch: int = 2, length: int = 12) -> Inputs:
    """Token ids."""
    return {"ids": integers((batch, length), low=0, high=VOCABULARY, seed=seed)}


def twin(state: State) -> Any:
    """The same encoder of Keras layers; attention is written out here as well."""
    import tensorflow as tf

    layers = tf.keras.layers

    def dense(name: str) -> Any:
        kernel = state[f"{name}.weight"].T
        layer = layers.Dense(kernel.shape[1])
        layer.build((None, kernel.shape[0]))
        layer.set_weights([kernel, state[f"{name}.bias"]])
        return layer

    def norm(name: str) -> Any:
        layer = layers.LayerNormalization(epsilon=1e-5)
        layer.build((None, None, WIDTH))
        layer.set_weights([state[f"{name}.weight"], state[f"{name}.bias"]])
        return layer

    class Layer(tf.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.attention_norm = norm(f"{name}.attention_norm")
            self.query = dense(f"{name}.query")
            self.key = dense(f"{name}.key")
            self.value = dense(f"{name}.value")
            self.out = dense(f"{name}.out")
            self.feed_forward_norm = norm(f"{name}.feed_forward_norm")
            self.widen = dense(f"{name}.feed_forward.0")
            self.narrow = dense(f"{name}.feed_forward.2")

        def __call__(self, x: Any) -> Any:
            split = tf.concat([tf.shape(x)[:2], (HEADS, WIDTH // HEADS)], axis=0)
            y = self.attention_norm(x)
            query = tf.transpose(tf.reshape(self.query(y), split), (0, 2, 1, 3))
            key = tf.transpose(tf.reshape(self.key(y), split), (0, 2, 1, 3))
            value = tf.transpose(tf.reshape(self.value(y), split), (0, 2, 1, 3))
            scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(WIDTH // HEADS)
            mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores, axis=-1), value), (0, 2, 1, 3))
            x = x + self.out(tf.reshape(mixed, tf.shape(x)))
            widened = tf.nn.gelu(self.widen(self.feed_forward_norm(x)), approximate=False)
            return x + self.narrow(widened)

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = tf.Variable(state["tokens.weight"])
            self.positions = tf.Variable(state["positions"])
            self.layers = [Layer(f"layers.{index}") for index in range(LAYERS)]
            self.norm = norm("norm")
            self.head = dense("head")

        def __call__(self, ids: Any) -> Any:
            x = tf.gather(self.tokens, ids) + self.positions[: tf.shape(ids)[1]]
            for layer in self.layers:
                x = layer(x)
            return self.head(tf.reduce_mean(self.norm(x), axis=1))

    return Twin()


MODEL = Model(
    summary="A pre-norm text encoder written out with matmul and softmax: a basic transformer of standard operations",
    family="transformer",
    build=build,
    example=lambda: sentences("example"),
    probes={
        "other-values": lambda: sentences("other values"),
        "more-values": lambda: sentences("more values"),
        "single": lambda: sentences("single", batch=1),
        "longer": lambda: sentences("longer", length=20),
        "shorter-and-more": lambda: sentences("shorter and more", batch=4, length=5),
    },
    dynamic={"ids": {0: "batch", 1: "length"}},
    twin=twin,
)
