"""A vision transformer: `nn.MultiheadAttention` of a fixed length, in torchvision's own class.

Under torch 2.0 it fails on `aten::unflatten`; from 2.1 on it exports at opset 14 and above.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """Torchvision's `VisionTransformer` with the patches of ViT-B/16, four layers and a width of 96."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(
        image_size=64, patch_size=16, num_layers=4, num_heads=4, hidden_dim=96, mlp_dim=384, num_classes=10
    )


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of small images of 8 x 8 patches: fine noise would be averaged away, and all images alike."""
    patches = uniform((batch, 3, 8, 8), seed=seed, low=-2.0, high=2.0)
    return {"image": patches.repeat(8, axis=2).repeat(8, axis=3)}


MODEL = Model(
    summary="A narrow VisionTransformer of torchvision at 64 x 64",
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
    expected_breaks="onnx-torchscript fails at convert under torch 2.0 (unflatten), and always below opset 14",
)
