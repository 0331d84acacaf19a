"""ResNet-50: the backbone of most fine-tuned classifiers, of bottlenecks where ResNet-18 has plain blocks."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """ResNet-50 of torchvision, as it comes."""
    from torchvision.models import resnet50

    return resnet50(weights=None)


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of small images of 8 x 8 patches: fine noise would be averaged away, and all images alike."""
    patches = uniform((batch, 3, 8, 8), seed=seed, low=-2.0, high=2.0)
    return {"image": patches.repeat(8, axis=2).repeat(8, axis=3)}


def tensorflow_implementation() -> Any:
    """ResNet-50 of Keras: its convolutions have biases, strides elsewhere, other paddings and another epsilon."""
    import tensorflow as tf

    return tf.keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classifier_activation=None)


MODEL = Model(
    summary="ResNet-50 of torchvision at 64 x 64",
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
