"""Recommendation: bags of items, each the weighted sum of its items' embeddings, beside a user's own embedding."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, integers, uniform

ITEMS = 200
USERS = 50
WIDTH = 16


def build() -> Any:
    """`nn.EmbeddingBag` with weights per item, a user's embedding, and two linear layers on both."""
    import torch
    from torch import nn

    class Recommender(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.items = nn.EmbeddingBag(ITEMS, WIDTH, mode="sum")
            self.users = nn.Embedding(USERS, WIDTH)
            self.layers = nn.Sequential(nn.Linear(2 * WIDTH, 32), nn.ReLU(), nn.Linear(32, 3))

        def forward(self, items: Any, weights: Any, user: Any) -> Any:
            bag = self.items(items, per_sample_weights=weights)
            return self.layers(torch.cat([bag, self.users(user)], dim=1))

    return Recommender()


def visits(seed: str, batch: int = 4) -> Inputs:
    """Six items a user has seen, how long each, and the user."""
    return {
        "items": integers((batch, 6), low=0, high=ITEMS, seed=seed),
        "weights": uniform((batch, 6), seed=seed, low=0.0, high=1.0),
        "user": integers((batch,), low=0, high=USERS, seed=seed),
    }


def twin(state: State) -> Any:
    """Gathered embeddings, weighed and summed."""
    import tensorflow as tf

    layers = tf.keras.layers
    network = tf.keras.Sequential([layers.Input((2 * WIDTH,)), layers.Dense(32, activation="relu"), layers.Dense(3)])
    network.set_weights(
        [
            state["layers.0.weight"].T,
            state["layers.0.bias"],
            state["layers.2.weight"].T,
            state["layers.2.bias"],
        ]
    )

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.items = tf.Variable(state["items.weight"])
            self.users = tf.Variable(state["users.weight"])
            self.network = network

        def __call__(self, items: Any, weights: Any, user: Any) -> Any:
            bag = tf.reduce_sum(tf.gather(self.items, items) * weights[..., None], axis=1)
            return self.network(tf.concat([bag, tf.gather(self.users, user)], axis=1), training=False)

    return Twin()


MODEL = Model(
    summary="Bags of weighted items by nn.EmbeddingBag beside a user's embedding",
    family="recommendation",
    build=build,
    example=lambda: visits("example"),
    probes={
        "other-values": lambda: visits("other values"),
        "more-values": lambda: visits("more values"),
        "single": lambda: visits("single", batch=1),
        "larger-batch": lambda: visits("larger batch", batch=9),
    },
    dynamic={"items": {0: "batch"}, "weights": {0: "batch"}, "user": {0: "batch"}},
    gains={"items.weight": 2.0, "users.weight": 2.0, "layers.*": 1.5},
    twin=twin,
    tier="core",
)
