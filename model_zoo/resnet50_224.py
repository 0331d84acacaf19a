"""ResNet-50 at the size that it is deployed at, for GPUs and patient CPUs."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """ResNet-50 of torchvision, as it comes."""
    from torchvision.models import resnet50

    return resnet50(weights=None)


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of images of 28 x 28 patches: fine noise would be averaged away, and all images alike."""
    patches = uniform((batch, 3, 8, 8), seed=seed, low=-2.0, high=2.0)
    return {"image": patches.repeat(28, axis=2).repeat(28, axis=3)}


MODEL = Model(
    summary="ResNet-50 of torchvision at 224 x 224",
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
    tier="full",
)
