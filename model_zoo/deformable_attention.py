"""What the guides say cannot be exported (claim C6): an attention that looks where it wants to, by `grid_sample`.

One level of the deformable attention of Deformable DETR: each query predicts a few points and their weights.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

WIDTH = 16
HEADS = 2
POINTS = 4
HEIGHT = 8
BREADTH = 8
QUERIES = 10


def build() -> Any:
    """Points around a reference per query and head, values sampled there, weighed and summed."""
    from torch import nn

    class DeformableAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reference = nn.Linear(WIDTH, 2)
            self.offsets = nn.Linear(WIDTH, HEADS * POINTS * 2)
            self.weights = nn.Linear(WIDTH, HEADS * POINTS)
            self.value = nn.Linear(WIDTH, WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)

        def forward(self, queries: Any, image: Any) -> Any:
            batch, count, _ = queries.shape
            value = self.value(image.flatten(2).transpose(1, 2)).transpose(1, 2)
            value = value.reshape(batch * HEADS, WIDTH // HEADS, HEIGHT, BREADTH)
            offsets = self.offsets(queries).reshape(batch, count, HEADS, POINTS, 2)
            places = self.reference(queries).tanh()[:, :, None, None, :] + 0.2 * offsets
            grid = places.transpose(1, 2).reshape(batch * HEADS, count, POINTS, 2)
            sampled = nn.functional.grid_sample(value, grid, padding_mode="border", align_corners=False)
            weights = self.weights(queries).reshape(batch, count, HEADS, POINTS).softmax(dim=-1)
            weights = weights.transpose(1, 2).reshape(batch * HEADS, 1, count, POINTS)
            mixed = (sampled * weights).sum(dim=-1).reshape(batch, WIDTH, count).transpose(1, 2)
            return self.out(mixed)

    return DeformableAttention()


def scenes(seed: str, batch: int = 2, count: int = QUERIES) -> Inputs:
    """Queries and a feature map."""
    return {
        "queries": uniform((batch, count, WIDTH), seed=seed, low=-2.0, high=2.0),
        "image": uniform((batch, WIDTH, HEIGHT, BREADTH), seed=seed, low=-2.0, high=2.0),
    }


MODEL = Model(
    summary="Deformable attention: values sampled by grid_sample where each query looks",
    family="hard-to-export",
    build=build,
    example=lambda: scenes("example"),
    probes={
        "other-values": lambda: scenes("other values"),
        "more-values": lambda: scenes("more values"),
        "single": lambda: scenes("single", batch=1),
        "more-queries": lambda: scenes("more queries", count=17),
    },
    dynamic={"queries": {0: "batch", 1: "count"}, "image": {0: "batch"}},
    gains={"out.weight": 2.0},
    tier="core",
    expected_breaks="onnx-torchscript at opsets below 16, which is the default of torch 2.0",
)
