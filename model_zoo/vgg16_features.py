"""The backbone that weights are most easily transferred into: `keras.applications` has the same, padding included."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """The convolutions of torchvision's VGG-16, as people cut them off for perceptual losses and detectors.

    The classifier is left out: it has 500 MB of weights.
    """
    from torchvision.models import vgg16

    return vgg16(weights=None).features


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of small images of 8 x 8 patches: fine noise alone would be averaged away, and all images alike."""
    patches = uniform((batch, 3, 8, 8), seed=seed, low=-2.0, high=2.0)
    return {"image": patches.repeat(8, axis=2).repeat(8, axis=3)}


def tensorflow_implementation() -> Any:
    """VGG-16 of Keras, without its classifier either."""
    import tensorflow as tf

    return tf.keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))


MODEL = Model(
    summary="The convolutions of torchvision's VGG-16 at 64 x 64, which keras.applications has as well",
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
    gains={"*": 1.4},
    tensorflow_implementation=tensorflow_implementation,
    imports=("torch", "torchvision"),
)
