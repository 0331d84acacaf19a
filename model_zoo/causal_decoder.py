"""A decoder with a causal mask that is made from the length of its input, as language models have it.

`triu` exists in ONNX from opset 14 on.
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
    """Token and position embedding, two pre-norm layers of masked attention, logits of the next token everywhere."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention_norm = nn.LayerNorm(WIDTH)
            self.mixed_in = nn.Linear(WIDTH, 3 * WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)
            self.feed_forward_norm = nn.LayerNorm(WIDTH)
            self.feed_forward = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

        def forward(self, x: Any, mask: Any) -> Any:
            batch, length, width = x.shape
            mixed_in = self.mixed_in(self.attention_norm(x)).reshape(batch, length, 3, HEADS, width // HEADS)
            query, key, value = mixed_in.permute(2, 0, 3, 1, 4).unbind(0)
            scores = torch.matmul(query, key.transpose(2, 3)) / math.sqrt(width // HEADS)
            mixed = torch.matmul(torch.softmax(scores + mask, dim=-1), value)
            x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
            return x + self.feed_forward(self.feed_forward_norm(x))

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, WIDTH)
            self.positions = nn.Parameter(torch.zeros(LONGEST, WIDTH))
            self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
            self.norm = nn.LayerNorm(WIDTH)

        def forward(self, ids: Any) -> Any:
            length = ids.shape[1]
            mask = torch.full((length, length), float("-inf"), device=ids.device).triu(1)
            x = self.tokens(ids) + self.positions[:length]
            for layer in self.layers:
                x = layer(x, mask)
            return nn.functional.linear(self.norm(x), self.tokens.weight)

    return Decoder()


def sentences(seed: str, batch: int = 2, length: int = 12) -> Inputs:
    """Token ids."""
    return {"ids": integers((batch, length), low=0, high=VOCABULARY, seed=seed)}


def twin(state: State) -> Any:
    """The same decoder on plain TensorFlow operations, with the mask from `band_part`."""
    import tensorflow as tf

    weights = {name: tf.Variable(value) for name, value in state.items()}

    def norm(x: Any, name: str) -> Any:
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        return tf.nn.batch_normalization(
            x, mean, variance, weights[f"{name}.bias"], weights[f"{name}.weight"], variance_epsilon=1e-5
        )

    def dense(x: Any, name: str) -> Any:
        return tf.einsum("bli,oi->blo", x, weights[f"{name}.weight"]) + weights[f"{name}.bias"]

    def layer(x: Any, name: str, visible: Any) -> Any:
        batch, length = tf.shape(x)[0], tf.shape(x)[1]
        mixed_in = tf.reshape(
            dense(norm(x, f"{name}.attention_norm"), f"{name}.mixed_in"), (batch, length, 3, HEADS, WIDTH // HEADS)
        )
        query, key, value = tf.unstack(tf.transpose(mixed_in, (2, 0, 3, 1, 4)))
        scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(WIDTH // HEADS)
        mixed = tf.matmul(tf.nn.softmax(tf.where(visible, scores, -float("inf"))), value)
        x = x + dense(tf.reshape(tf.transpose(mixed, (0, 2, 1, 3)), (batch, length, WIDTH)), f"{name}.out")
        widened = tf.nn.gelu(dense(norm(x, f"{name}.feed_forward_norm"), f"{name}.feed_forward.0"), approximate=False)
        return x + dense(widened, f"{name}.feed_forward.2")

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = weights

        def __call__(self, ids: Any) -> Any:
            length = tf.shape(ids)[1]
            visible = tf.linalg.band_part(tf.ones((length, length)), -1, 0) > 0
            x = tf.gather(weights["tokens.weight"], ids) + weights["positions"][:length]
            for index in range(LAYERS):
                x = layer(x, f"layers.{index}", visible)
            return tf.einsum("blw,vw->blv", norm(x, "norm"), weights["tokens.weight"])

    return Twin()


MODEL = Model(
    summary="A decoder with a causal mask made from the length of its input",
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
    tier="core",
    expected_breaks="opset 11 fails at convert: triu exists from opset 14 on",
)
