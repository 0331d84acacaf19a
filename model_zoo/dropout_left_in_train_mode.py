"""Accuracy trap (claim C11): nobody called `model.eval()` before handing a model with Dropout on.

The native output is that of eval mode. What is served by PyTorch itself, and what an exporter writes that keeps the
module's mode, drops half of the features at random; the TorchScript exporter switches to eval by itself.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform

FEATURES = 24
HIDDEN = 64


def build() -> Any:
    """Two linear layers with Dropout between them."""
    from torch import nn

    return nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Dropout(0.5), nn.Linear(HIDDEN, 6))


def features(seed: str, batch: int = 4) -> Inputs:
    """A batch of feature vectors."""
    return {"input": uniform((batch, FEATURES), seed=seed, low=-2.0, high=2.0)}


def twin(state: State) -> Any:
    """The same layers, served in inference mode, where Dropout does nothing."""
    import tensorflow as tf

    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [layers.Input((FEATURES,)), layers.Dense(HIDDEN, activation="relu"), layers.Dropout(0.5), layers.Dense(6)]
    )
    network.set_weights([state["0.weight"].T, state["0.bias"], state["3.weight"].T, state["3.bias"]])

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def __call__(self, features: Any) -> Any:
            return self.network(features, training=False)

    return Twin()


MODEL = Model(
    summary="Dropout handed over in train mode: what keeps the mode is random",
    family="accuracy-trap",
    build=build,
    example=lambda: features("example"),
    probes={
        "other-values": lambda: features("other values"),
        "more-values": lambda: features("more values"),
        "single": lambda: features("single", batch=1),
        "larger-batch": lambda: features("larger batch", batch=9),
    },
    dynamic={"input": {0: "batch"}},
    twin=twin,
    train_mode=True,
    tier="core",
    expected_breaks="native mismatches in every version, and so does whatever keeps the module in train mode",
)
