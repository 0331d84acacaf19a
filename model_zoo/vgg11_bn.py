"""A deep plain stack of convolutions, with the narrow classifier people give it for small images."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform


def build() -> Any:
    """VGG-11 features of torchvision with BatchNorm, a pool to one pixel, and a classifier of 64 units.

    torchvision's own classifier has 500 MB of weights, and its pool to 7 x 7 exports at 224 x 224 only.
    """
    from torch import nn
    from torchvision.models.vgg import cfgs, make_layers

    class Vgg(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = make_layers(cfgs["A"], batch_norm=True)
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.classifier = nn.Sequential(nn.Linear(512, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 10))

        def forward(self, image: Any) -> Any:
            return self.classifier(self.avgpool(self.features(image)).flatten(1))

    return Vgg()


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of small images of 8 x 8 patches: fine noise alone would be averaged away, and all images alike."""
    return {"image": uniform((batch, 3, 8, 8), seed=seed, low=-2.0, high=2.0).repeat(8, axis=2).repeat(8, axis=3)}


def twin(state: State) -> Any:
    """The same stack as a sequential Keras model."""
    import tensorflow as tf

    layers = tf.keras.layers
    network = tf.keras.Sequential([layers.Input((None, None, 3))])
    index = 0
    for entry in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
        if entry == "M":
            network.add(layers.MaxPooling2D(2))
            index += 1
            continue
        convolution = layers.Conv2D(entry, 3, padding="same")
        norm = layers.BatchNormalization(epsilon=1e-5)
        for layer in (convolution, norm, layers.ReLU()):
            network.add(layer)
        name = f"features.{index}"
        convolution.set_weights([state[f"{name}.weight"].transpose(2, 3, 1, 0), state[f"{name}.bias"]])
        roles = ("weight", "bias", "running_mean", "running_var")
        norm.set_weights([state[f"features.{index + 1}.{role}"] for role in roles])
        index += 3
    network.add(layers.GlobalAveragePooling2D())
    for name, activation in (("classifier.0", "relu"), ("classifier.3", None)):
        dense = layers.Dense(state[f"{name}.bias"].shape[0], activation=activation)
        network.add(dense)
        dense.set_weights([state[f"{name}.weight"].T, state[f"{name}.bias"]])

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def __call__(self, image: Any) -> Any:
            return self.network(tf.transpose(image, (0, 2, 3, 1)), training=False)

    return Twin()


MODEL = Model(
    summary="VGG-11 with BatchNorm at 64 x 64 and a narrow classifier: a plain convolutional stack",
    family="vision",
    build=build,
    example=lambda: images("example"),
    probes={
        "other-values": lambda: images("other values"),
        "more-values": lambda: images("more values"),
        "single": lambda: images("single", batch=1),
        "larger-batch": lambda: images("larger batch", batch=4),
    },
    dynamic={"image": {0: "batch"}},
    gains={"features.*": 1.3},
    twin=twin,
    imports=("torch", "torchvision"),
)
