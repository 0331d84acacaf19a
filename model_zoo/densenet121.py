"""A deep classifier of concatenations and BatchNorm whose weights `keras.applications` takes, one for one."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """DenseNet-121 of torchvision, as it comes."""
    from torchvision.models import densenet121

    return densenet121(weights=None)


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of small images of 8 x 8 patches: fine noise alone would be averaged away, and all images alike."""
    patches = uniform((batch, 3, 8, 8), seed=seed, low=-2.0, high=2.0)
    return {"image": patches.repeat(8, axis=2).repeat(8, axis=3)}


def tensorflow_implementation() -> Any:
    """DenseNet-121 of Keras; its epsilon is 1.001e-5 where torch's is 1e-5."""
    import tensorflow as tf

    return tf.keras.applications.DenseNet121(weights=None, input_shape=(64, 64, 3), classifier_activation=None)


MODEL = Model(
    summary="DenseNet-121 of torchvision at 64 x 64, which keras.applications has as well",
    family="vision",
    build=build,
    example=lambda: images("example"),
    probes={
        "other-values": lambda: images("other values"),
        "more-values": lambda: images("more values"),
        "single": lambda: images("single", batch=1),
        "larger-batch": lambda: images("larger batch", batch=3),
    },
    dynamic={"image": {0: "batch"}},
    tensorflow_implementation=tensorflow_implementation,
    imports=("torch", "torchvision"),
    tier="core",
)
