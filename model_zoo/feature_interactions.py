"""Recommendation in the manner of DLRM: dense and categorical features, and the dot products between all of them."""

from __future__ import annotations

import itertools
from typing import Any

from harness.bench import Inputs, Model, State, integers, uniform

DENSE = 8
CATEGORIES = (30, 50, 20)
WIDTH = 8
ACTIONS = 3
PAIRS = tuple(itertools.combinations(range(len(CATEGORIES) + 1), 2))


def build() -> Any:
    """Every feature as a vector, the dot product of each pair, and from these the odds of three actions."""
    import torch
    from torch import nn

    class Interactions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Sequential(nn.Linear(DENSE, 16), nn.ReLU(), nn.Linear(16, WIDTH), nn.ReLU())
            self.embeddings = nn.ModuleList(nn.Embedding(size, WIDTH) for size in CATEGORIES)
            self.top = nn.Linear(WIDTH + len(PAIRS), ACTIONS)

        def forward(self, dense: Any, categories: Any) -> Any:
            first = self.dense(dense)
            vectors = torch.stack([first, *(e(categories[:, i]) for i, e in enumerate(self.embeddings))], dim=1)
            products = torch.bmm(vectors, vectors.transpose(1, 2))
            pairs = products[:, [i for i, _ in PAIRS], [j for _, j in PAIRS]]
            return torch.sigmoid(self.top(torch.cat([first, pairs], dim=1)))

    return Interactions()


def visits(seed: str, batch: int = 6) -> Inputs:
    """Dense features, and one id of each category."""
    import numpy as np

    ids = [integers((batch,), low=0, high=size, seed=f"{seed} {index}") for index, size in enumerate(CATEGORIES)]
    return {"dense": uniform((batch, DENSE), seed=seed, low=-2.0, high=2.0), "categories": np.stack(ids, axis=1)}


def twin(state: State) -> Any:
    """The same with one gather per category and one gather of the pairs."""
    import tensorflow as tf

    layers = tf.keras.layers
    bottom = tf.keras.Sequential(
        [layers.Input((DENSE,)), layers.Dense(16, activation="relu"), layers.Dense(WIDTH, activation="relu")]
    )
    bottom.set_weights(
        [
            state["dense.0.weight"].T,
            state["dense.0.bias"],
            state["dense.2.weight"].T,
            state["dense.2.bias"],
        ]
    )
    top = layers.Dense(ACTIONS, activation="sigmoid")
    top.build((None, WIDTH + len(PAIRS)))
    top.set_weights([state["top.weight"].T, state["top.bias"]])

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bottom = bottom
            self.top = top
            self.embeddings = [tf.Variable(state[f"embeddings.{index}.weight"]) for index in range(len(CATEGORIES))]

        def __call__(self, dense: Any, categories: Any) -> Any:
            first = self.bottom(dense, training=False)
            gathered = [tf.gather(table, categories[:, index]) for index, table in enumerate(self.embeddings)]
            vectors = tf.stack([first, *gathered], axis=1)
            products = tf.matmul(vectors, vectors, transpose_b=True)
            pairs = tf.stack([products[:, i, j] for i, j in PAIRS], axis=1)
            return self.top(tf.concat([first, pairs], axis=1))

    return Twin()


MODEL = Model(
    summary="Dense and categorical features with the dot products of all pairs, as in DLRM",
    family="recommendation",
    build=build,
    example=lambda: visits("example"),
    probes={
        "other-values": lambda: visits("other values"),
        "more-values": lambda: visits("more values"),
        "single": lambda: visits("single", batch=1),
        "larger-batch": lambda: visits("larger batch", batch=11),
    },
    dynamic={"dense": {0: "batch"}, "categories": {0: "batch"}},
    gains={"embeddings.*": 2.0},
    twin=twin,
    tier="core",
)
