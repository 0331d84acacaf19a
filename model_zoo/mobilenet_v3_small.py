"""A classifier for phones: depthwise convolutions, squeeze and excitation, hard swish and hard sigmoid."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """MobileNetV3 small of torchvision, as it comes."""
    from torchvision.models import mobilenet_v3_small

    return mobilenet_v3_small(weights=None)


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of small images of 8 x 8 patches: fine noise would be averaged away, and all images alike."""
    patches = uniform((batch, 3, 8, 8), seed=seed, low=-2.0, high=2.0)
    return {"image": patches.repeat(8, axis=2).repeat(8, axis=3)}


MODEL = Model(
    summary="MobileNetV3 small of torchvision at 64 x 64",
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
    gains={"features.*": 1.45},
    imports=("torch", "torchvision"),
    tier="core",
)
