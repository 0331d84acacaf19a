"""A detection model: as many boxes come out as non-maximum suppression leaves, which depends on the image.

torchvision's own, with its resizing and its box decoding inside. Boxes below the score threshold and overlapping ones
are dropped, so the shape of the outputs moves with the values of the input.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """SSDlite on MobileNetV3 large with four classes, for one image, as boxes, scores and labels."""
    from torch import nn
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.detector = ssdlite320_mobilenet_v3_large(
                weights=None,
                weights_backbone=None,
                num_classes=5,
                score_thresh=0.72,
                nms_thresh=0.4,
                topk_candidates=40,
                detections_per_img=100,
            )

        def forward(self, image: Any) -> Any:
            found = self.detector([image])[0]
            return found["boxes"], found["scores"], found["labels"]

    return Detector()


def image(seed: str) -> Inputs:
    """One small image of 8 x 8 patches, without a batch dimension, as detectors of torchvision take it."""
    patches = uniform((3, 8, 8), seed=seed, low=0.0, high=1.0)
    return {"image": patches.repeat(8, axis=1).repeat(8, axis=2)}


MODEL = Model(
    summary="SSDlite of torchvision: a data-dependent number of boxes, by non-maximum suppression",
    family="vision",
    build=build,
    example=lambda: image("example"),
    probes={
        "other-values": lambda: image("other values"),
        "more-values": lambda: image("more values"),
    },
    gains={"detector.backbone.*": 1.4, "detector.head.classification*": 0.3},
    imports=("torch", "torchvision"),
    tier="core",
)
