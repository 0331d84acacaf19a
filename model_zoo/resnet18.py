"""The classifier that every guide converts first: convolutions, BatchNorm, residual additions."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform


def build() -> Any:
    """ResNet-18 of torchvision, as it comes."""
    from torchvision.models import resnet18

    return resnet18(weights=None)


def images(seed: str, batch: int = 2) -> Inputs:
    """A batch of small images of 8 x 8 patches: fine noise alone would be averaged away, and all images alike."""
    return {"image": uniform((batch, 3, 8, 8), seed=seed, low=-2.0, high=2.0).repeat(8, axis=2).repeat(8, axis=3)}


def twin(state: State) -> Any:
    """ResNet-18 in Keras: torch's padding before `valid` convolutions, torch's BatchNorm epsilon."""
    import tensorflow as tf

    layers = tf.keras.layers
    weighted: dict[str, Any] = {}

    def convolution(x: Any, name: str, kernel: int, stride: int) -> Any:
        filters = state[f"{name}.weight"].shape[0]
        if kernel > 1:
            x = layers.ZeroPadding2D(kernel // 2)(x)
        weighted[name] = layers.Conv2D(filters, kernel, strides=stride, padding="valid", use_bias=False)
        return weighted[name](x)

    def norm(x: Any, name: str) -> Any:
        weighted[name] = layers.BatchNormalization(epsilon=1e-5)
        return weighted[name](x)

    def block(x: Any, name: str, stride: int) -> Any:
        y = layers.ReLU()(norm(convolution(x, f"{name}.conv1", 3, stride), f"{name}.bn1"))
        y = norm(convolution(y, f"{name}.conv2", 3, 1), f"{name}.bn2")
        if f"{name}.downsample.0.weight" in state:
            x = norm(convolution(x, f"{name}.downsample.0", 1, stride), f"{name}.downsample.1")
        return layers.ReLU()(layers.Add()([x, y]))

    image = layers.Input((None, None, 3))
    x = layers.ReLU()(norm(convolution(image, "conv1", 7, 2), "bn1"))
    # After a ReLU a padding of zeros is as good as torch's of minus infinity.
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for stage in range(1, 5):
        x = block(x, f"layer{stage}.0", 1 if stage == 1 else 2)
        x = block(x, f"layer{stage}.1", 1)
    weighted["fc"] = layers.Dense(state["fc.weight"].shape[0])
    network = tf.keras.Model(image, weighted["fc"](layers.GlobalAveragePooling2D()(x)))

    for name, layer in weighted.items():
        if isinstance(layer, layers.Conv2D):
            layer.set_weights([state[f"{name}.weight"].transpose(2, 3, 1, 0)])
        elif isinstance(layer, layers.Dense):
            layer.set_weights([state[f"{name}.weight"].T, state[f"{name}.bias"]])
        else:
            roles = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([state[f"{name}.{role}"] for role in roles])

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def __call__(self, image: Any) -> Any:
            return self.network(tf.transpose(image, (0, 2, 3, 1)), training=False)

    return Twin()


MODEL = Model(
    summary="ResNet-18 of torchvision at 64 x 64: the classifier that every guide converts first",
    family="vision",
    build=build,
    example=lambda: images("example"),
    probes={
        "other-values": lambda: images("other values"),
        "more-values": lambda: images("more values"),
        "single": lambda: images("single", batch=1),
        "larger-batch": lambda: images("larger batch", batch=5),
    },
    dynamic={"image": {0: "batch"}},
    twin=twin,
    imports=("torch", "torchvision"),
)
