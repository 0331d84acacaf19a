"""Accuracy trap: torch's average pooling counts the padding, and that of ONNX and TensorFlow does not by default.

The exporter has to say so (`count_include_pad`). The twin uses Keras's `same`, as people do, and is wrong at the edges.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform


def build() -> Any:
    """A convolution, a padded average pooling that keeps the size, and a second convolution."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(3, stride=1, padding=1), nn.Conv2d(8, 4, 1)
    )


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of small images."""
    return {"input": uniform((batch, 3, 12, 12), seed=seed, low=-2.0, high=2.0)}


def twin(state: State) -> Any:
    """The same layers with `same` everywhere."""
    import tensorflow as tf

    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            layers.Input((12, 12, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.AveragePooling2D(3, strides=1, padding="same"),
            layers.Conv2D(4, 1),
        ]
    )
    network.set_weights(
        [
            state["0.weight"].transpose(2, 3, 1, 0),
            state["0.bias"],
            state["3.weight"].transpose(2, 3, 1, 0),
            state["3.bias"],
        ]
    )

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def __call__(self, images: Any) -> Any:
            return tf.transpose(self.network(tf.transpose(images, (0, 2, 3, 1)), training=False), (0, 3, 1, 2))

    return Twin()


MODEL = Model(
    summary="Average pooling that counts its padding, with a twin whose pooling does not",
    family="accuracy-trap",
    build=build,
    example=lambda: images("example"),
    probes={
        "other-values": lambda: images("other values"),
        "more-values": lambda: images("more values"),
        "single": lambda: images("single", batch=1),
        "larger-batch": lambda: images("larger batch", batch=5),
    },
    dynamic={"input": {0: "batch"}},
    gains={"3.weight": 2.0},
    twin=twin,
    tier="core",
    expected_breaks="manual-recreation mismatches in every version, at the edges",
)
