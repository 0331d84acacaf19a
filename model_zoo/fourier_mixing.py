"""A transformer block that mixes tokens by a Fourier transform, as FNet does, in place of attention.

`fft` makes complex numbers, which the TorchScript exporter does not have.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

LENGTH = 16
WIDTH = 32


def build() -> Any:
    """The real part of a transform over length and width, a residual addition, a feed-forward layer and a head."""
    import torch
    from torch import nn

    class FourierBlock(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixing_norm = nn.LayerNorm(WIDTH)
            self.feed_forward = nn.Sequential(nn.Linear(WIDTH, 64), nn.GELU(), nn.Linear(64, WIDTH))
            self.head = nn.Linear(WIDTH, 5)

        def forward(self, sequence: Any) -> Any:
            mixed = torch.fft.fft(torch.fft.fft(sequence, dim=-1), dim=-2).real
            x = self.mixing_norm(sequence + mixed)
            return self.head(x + self.feed_forward(x))

    return FourierBlock()


def sequences(seed: str, batch: int = 2) -> Inputs:
    """A batch of sequences of feature vectors, all of one length."""
    return {"sequence": uniform((batch, LENGTH, WIDTH), seed=seed)}


MODEL = Model(
    summary="Tokens mixed by a Fourier transform instead of attention",
    family="transformer",
    build=build,
    example=lambda: sequences("example"),
    probes={
        "other-values": lambda: sequences("other values"),
        "more-values": lambda: sequences("more values"),
        "single": lambda: sequences("single", batch=1),
        "larger-batch": lambda: sequences("larger batch", batch=5),
    },
    dynamic={"sequence": {0: "batch"}},
    tier="core",
    expected_breaks="onnx-torchscript fails at convert: aten::fft_fft has no symbolic",
)
