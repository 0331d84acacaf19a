"""The digits classifier that the accuracy models share: its module, its trained weights, its data, and its twin.

The network is trained by `training/train_digits.py` and its weights are committed, so that a conversion has an
accuracy on a held-out test set and not an error alone. Its input is an image as the data set has it, 8 x 8 pixels
from 0 to 16; scaling belongs to the model. `twin` takes the mistakes that people make, one parameter each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.bench import Inputs, State

DATA = Path(__file__).parent / "data"
BATCH = 4
PIXEL_MAXIMUM = 16.0
PIXEL_MEAN = 0.3
PIXEL_STD = 0.37
STATISTICS = ("running_mean", "running_var")


def build() -> Any:
    """Three convolutions with BatchNorm and a linear head on 2 x 2 pixels."""
    from torch import nn

    def block(incoming: int, outgoing: int, pool: int) -> list[nn.Module]:
        return [
            nn.Conv2d(incoming, outgoing, 3, padding=1, bias=False),
            nn.BatchNorm2d(outgoing),
            nn.ReLU(),
            nn.MaxPool2d(pool),
        ]

    class DigitsNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(*block(1, 16, 1), *block(16, 32, 2), *block(32, 32, 2))
            self.head = nn.Linear(128, 10)

        def forward(self, image: Any) -> Any:
            scaled = (image / PIXEL_MAXIMUM - PIXEL_MEAN) / PIXEL_STD
            return self.head(self.features(scaled).flatten(1))

    return DigitsNetwork()


def weights() -> dict[str, Any]:
    """The trained state dict."""
    import numpy as np

    with np.load(DATA / "digits_cnn.npz") as archive:
        return {name: archive[name] for name in archive.files}


def tuned_weights() -> dict[str, Any]:
    """The trained state dict with the running statistics that PyTorch has after `tuning_batches`."""
    import numpy as np

    with np.load(DATA / "digits_tuning.npz") as archive:
        return {**weights(), **{name: archive[name] for name in archive.files if name != "images"}}


def tuning_batches() -> Any:
    """Batches of training images for statistics to be tuned on: [batches, batch, 1, 8, 8], float32."""
    import numpy as np

    with np.load(DATA / "digits_tuning.npz") as archive:
        return archive["images"].astype(np.float32)


def labelled() -> tuple[Inputs, Any]:
    """The held-out test set: its images as one batch, and its labels."""
    import numpy as np

    with np.load(DATA / "digits_test.npz") as archive:
        return {"image": archive["images"].astype(np.float32)}, archive["labels"].astype(np.int64)


def images(first: int, batch: int = BATCH) -> Inputs:
    """`batch` images of the test set."""
    return {"image": labelled()[0]["image"][first : first + batch]}


PROBES: Mapping[str, Callable[[], Inputs]] = {
    "other-values": lambda: images(10),
    "more-values": lambda: images(20),
    "single": lambda: images(30, batch=1),
    "larger-batch": lambda: images(40, batch=9),
}


def twin(
    state: State,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    order: tuple[str, ...] = STATISTICS,
    training: bool = False,
    tune: bool = False,
    scale: Callable[[Any], Any] | None = None,
) -> Any:
    """The network in Keras.

    Right are torch's `epsilon`, one minus torch's `momentum`, the moving mean before the moving variance in `order`,
    inference instead of `training`, and the module's own scaling. `tune` runs `tuning_batches` in training mode first.
    """
    import tensorflow as tf

    layers = tf.keras.layers
    network = tf.keras.Sequential([layers.Input((8, 8, 1))])
    for index, pool in ((0, 1), (4, 2), (8, 2)):
        kernel = state[f"features.{index}.weight"].transpose(2, 3, 1, 0)
        convolution = layers.Conv2D(kernel.shape[-1], 3, padding="same", use_bias=False)
        norm = layers.BatchNormalization(epsilon=epsilon, momentum=momentum)
        for layer in (convolution, norm, layers.ReLU(), layers.MaxPooling2D(pool)):
            network.add(layer)
        convolution.set_weights([kernel])
        norm.set_weights([state[f"features.{index + 1}.{role}"] for role in ("weight", "bias", *order)])
    # torch flattens channels first, so the head's columns expect them in that order.
    network.add(layers.Permute((3, 1, 2)))
    network.add(layers.Flatten())
    head = layers.Dense(10)
    network.add(head)
    head.set_weights([state["head.weight"].T, state["head.bias"]])

    def module_scale(image: Any) -> Any:
        return (image / PIXEL_MAXIMUM - PIXEL_MEAN) / PIXEL_STD

    scaled = scale or module_scale

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def __call__(self, image: Any, training: bool = training) -> Any:
            return self.network(scaled(tf.transpose(image, (0, 2, 3, 1))), training=training)

    recreated = Twin()
    if tune:
        for batch in tuning_batches():
            recreated(tf.constant(batch), training=True)
    return recreated
