"""What the guides say cannot be exported (claim C6): `grid_sample` of a volume.

GridSample of opset 16 takes images only; volumes came with opset 20, which torch 2.13 writes by default.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

SIZE = 6


def build() -> Any:
    """A convolution that predicts a displacement for every voxel, and the volume warped by it."""
    import torch
    from torch import nn

    class Warp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.displacement = nn.Conv3d(2, 3, 3, padding=1)
            centres = [(2 * index + 1) / SIZE - 1 for index in range(SIZE)]
            self.register_buffer("base", torch.tensor([[(x, y, z) for x in centres] for z in centres for y in centres]))

        def forward(self, volume: Any) -> Any:
            displacement = self.displacement(volume).permute(0, 2, 3, 4, 1) * 0.2
            grid = self.base.reshape(1, SIZE, SIZE, SIZE, 3) + displacement
            return nn.functional.grid_sample(volume, grid, align_corners=False)

    return Warp()


def volumes(seed: str, batch: int = 2) -> Inputs:
    """A batch of small volumes of two channels."""
    return {"volume": uniform((batch, 2, SIZE, SIZE, SIZE), seed=seed)}


MODEL = Model(
    summary="A volume warped by a three-dimensional grid_sample",
    family="hard-to-export",
    build=build,
    example=lambda: volumes("example"),
    probes={
        "other-values": lambda: volumes("other values"),
        "more-values": lambda: volumes("more values"),
        "single": lambda: volumes("single", batch=1),
        "larger-batch": lambda: volumes("larger batch", batch=4),
    },
    dynamic={"volume": {0: "batch"}},
    tier="core",
    expected_breaks="onnx-torchscript below opset 20, so by default under torch 2.0 and 2.1",
)
