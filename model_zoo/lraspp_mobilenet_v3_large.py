"""Semantic segmentation: a map of classes at the size of the image, by bilinear interpolation to a dynamic size.

The module returns a dict, as torchvision's segmentation models do.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """LR-ASPP on MobileNetV3 large of torchvision, with five classes and without any downloads."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of small images of 8 x 8 patches: fine noise would be averaged away, and all images alike."""
    patches = uniform((batch, 3, 8, 8), seed=seed, low=-2.0, high=2.0)
    return {"image": patches.repeat(8, axis=2).repeat(8, axis=3)}


MODEL = Model(
    summary="Semantic segmentation by LR-ASPP on MobileNetV3 at 64 x 64, as a dict of outputs",
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
    imports=("torch", "torchvision"),
    tier="core",
)
