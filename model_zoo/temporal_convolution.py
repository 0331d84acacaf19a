"""A temporal convolutional network: causal, dilated one-dimensional convolutions with residual additions."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, uniform

CHANNELS = 16
KERNEL = 3
DILATIONS = (1, 2, 4)


def build() -> Any:
    """Three blocks, each padded on the left only, and a linear head on the last step."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, dilation: int) -> None:
            super().__init__()
            self.pad = nn.ConstantPad1d(((KERNEL - 1) * dilation, 0), 0.0)
            self.convolution = nn.Conv1d(CHANNELS, CHANNELS, KERNEL, dilation=dilation)
            self.norm = nn.BatchNorm1d(CHANNELS)

        def forward(self, x: Any) -> Any:
            return x + self.norm(self.convolution(self.pad(x))).relu()

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(*(Block(dilation) for dilation in DILATIONS))
            self.head = nn.Linear(CHANNELS, 6)

        def forward(self, signal: Any) -> Any:
            return self.head(self.blocks(signal)[:, :, -1])

    return Network()


def signals(seed: str, batch: int = 2, length: int = 40) -> Inputs:
    """A batch of signals, channels first."""
    return {"signal": uniform((batch, CHANNELS, length), seed=seed, low=-2.0, high=2.0)}


def twin(state: State) -> Any:
    """Keras has causal padding of its own, and channels last."""
    import tensorflow as tf

    layers = tf.keras.layers
    convolutions, norms = [], []
    for index, dilation in enumerate(DILATIONS):
        convolution = layers.Conv1D(CHANNELS, KERNEL, dilation_rate=dilation, padding="causal")
        convolution.build((None, None, CHANNELS))
        kernel = state[f"blocks.{index}.convolution.weight"].transpose(2, 1, 0)
        convolution.set_weights([kernel, state[f"blocks.{index}.convolution.bias"]])
        norm = layers.BatchNormalization(epsilon=1e-5)
        norm.build((None, None, CHANNELS))
        roles = ("weight", "bias", "running_mean", "running_var")
        norm.set_weights([state[f"blocks.{index}.norm.{role}"] for role in roles])
        convolutions.append(convolution)
        norms.append(norm)
    head = layers.Dense(6)
    head.build((None, CHANNELS))
    head.set_weights([state["head.weight"].T, state["head.bias"]])

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolutions = convolutions
            self.norms = norms
            self.head = head

        def __call__(self, signal: Any) -> Any:
            x = tf.transpose(signal, (0, 2, 1))
            for convolution, norm in zip(self.convolutions, self.norms, strict=True):
                x = x + tf.nn.relu(norm(convolution(x), training=False))
            return self.head(x[:, -1])

    return Twin()


MODEL = Model(
    summary="Causal dilated one-dimensional convolutions with residual additions",
    family="sequence",
    build=build,
    example=lambda: signals("example"),
    probes={
        "other-values": lambda: signals("other values"),
        "more-values": lambda: signals("more values"),
        "single": lambda: signals("single", batch=1),
        "longer": lambda: signals("longer", length=64),
    },
    dynamic={"signal": {0: "batch", 2: "length"}},
    twin=twin,
    tier="core",
)
