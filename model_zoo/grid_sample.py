"""What the guides say cannot be exported (claim C6): a spatial transformer around `grid_sample`.

ONNX has GridSample from opset 16 on; torch 2.0 exports opset 14 unless told otherwise.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform

HEIGHT = 16
WIDTH = 24
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def base_grid() -> list[tuple[float, float, float]]:
    """The centre of each pixel as (x, y, 1), from -1 to 1, row by row."""
    return [
        ((2 * column + 1) / WIDTH - 1, (2 * row + 1) / HEIGHT - 1, 1.0)
        for row in range(HEIGHT)
        for column in range(WIDTH)
    ]


def build() -> Any:
    """A small network that reads an affine transform from the image, and the image resampled by it."""
    import torch
    from torch import nn

    class SpatialTransformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.localisation = nn.Sequential(
                nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6)
            )
            self.register_buffer("identity", torch.tensor(IDENTITY))
            self.register_buffer("base", torch.tensor(base_grid()))

        def forward(self, image: Any) -> Any:
            affine = (self.identity + self.localisation(image)).reshape(-1, 2, 3)
            grid = torch.matmul(self.base, affine.transpose(1, 2)).reshape(-1, HEIGHT, WIDTH, 2)
            return nn.functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    return SpatialTransformer()


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of small images."""
    return {"image": uniform((batch, 3, HEIGHT, WIDTH), seed=seed)}


def twin(state: State) -> Any:
    """The same transformer; TensorFlow has no `grid_sample`, so the four corners are gathered and weighed here."""
    import tensorflow as tf

    layers = tf.keras.layers
    localisation = tf.keras.Sequential(
        [
            layers.Input((HEIGHT, WIDTH, 3)),
            layers.Conv2D(8, 5, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(6),
        ]
    )
    localisation.set_weights(
        [
            state["localisation.0.weight"].transpose(2, 3, 1, 0),
            state["localisation.0.bias"],
            state["localisation.4.weight"].T,
            state["localisation.4.bias"],
        ]
    )

    def corner(image: Any, column: Any, row: Any, weight: Any) -> Any:
        """The pixels at (row, column), times `weight`; zero outside of the image."""
        inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
        rows = tf.cast(tf.clip_by_value(row, 0, HEIGHT - 1), tf.int32)
        columns = tf.cast(tf.clip_by_value(column, 0, WIDTH - 1), tf.int32)
        pixels = tf.gather_nd(image, tf.stack([rows, columns], axis=-1), batch_dims=1)
        return pixels * tf.where(inside, weight, 0.0)[..., None]

    def sample(image: Any, grid: Any) -> Any:
        x = ((grid[..., 0] + 1) * WIDTH - 1) / 2
        y = ((grid[..., 1] + 1) * HEIGHT - 1) / 2
        left, top = tf.floor(x), tf.floor(y)
        across, down = x - left, y - top
        return tf.add_n(
            [
                corner(image, left, top, (1 - across) * (1 - down)),
                corner(image, left + 1, top, across * (1 - down)),
                corner(image, left, top + 1, (1 - across) * down),
                corner(image, left + 1, top + 1, across * down),
            ]
        )

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.localisation = localisation
            self.identity = tf.constant(state["identity"])
            self.base = tf.constant(state["base"])

        def __call__(self, image: Any) -> Any:
            image = tf.transpose(image, (0, 2, 3, 1))
            affine = tf.reshape(self.identity + self.localisation(image, training=False), (-1, 2, 3))
            grid = tf.reshape(tf.matmul(self.base, affine, transpose_b=True), (-1, HEIGHT, WIDTH, 2))
            return tf.transpose(sample(image, grid), (0, 3, 1, 2))

    return Twin()


MODEL = Model(
    summary="A spatial transformer around grid_sample: exports from opset 16 on only",
    family="hard-to-export",
    build=build,
    example=lambda: images("example"),
    probes={
        "other-values": lambda: images("other values"),
        "more-values": lambda: images("more values"),
        "single": lambda: images("single", batch=1),
        "larger-batch": lambda: images("larger batch", batch=5),
    },
    dynamic={"image": {0: "batch"}},
    gains={"localisation.4.weight": 0.3},
    twin=twin,
)
