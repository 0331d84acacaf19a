"""An audio front end: `torch.stft`, power, filter bank, logarithm.

ONNX has STFT and DFT from opset 17 on, and no complex numbers: the TorchScript exporter takes `stft` with its real
form only, and this one asks for the complex form, as torch itself recommends.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

WINDOW = 64
HOP = 32
FILTERS = 12


def build() -> Any:
    """Spectrogram with a triangular window (exact in binary), a learned filter bank, a linear head on the levels."""
    import torch
    from torch import nn

    class FrontEnd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            half = WINDOW // 2
            self.register_buffer("window", torch.tensor([1.0 - abs(index - half) / half for index in range(WINDOW)]))
            self.filters = nn.Parameter(torch.zeros(FILTERS, WINDOW // 2 + 1))
            self.head = nn.Linear(FILTERS, 5)

        def forward(self, audio: Any) -> Any:
            spectrum = torch.stft(audio, WINDOW, HOP, window=self.window, center=False, return_complex=True)
            energies = torch.matmul(self.filters.abs(), spectrum.abs() ** 2)
            levels = torch.log(energies + 1e-3).mean(dim=-1)
            return self.head(levels - levels.mean(dim=-1, keepdim=True))

    return FrontEnd()


def audio(seed: str, batch: int = 2, length: int = 512) -> Inputs:
    """A batch of periodic signals, each of a wave of its own: white noise has the same spectrum everywhere."""
    import numpy as np

    waves = uniform((batch, 32), seed=seed)
    return {"audio": np.tile(waves, (1, length // 32))}


MODEL = Model(
    summary="torch.stft with a complex result, a filter bank and a logarithm: an FFT front end for audio",
    family="sequence",
    build=build,
    example=lambda: audio("example"),
    probes={
        "other-values": lambda: audio("other values"),
        "more-values": lambda: audio("more values"),
        "single": lambda: audio("single", batch=1),
        "longer": lambda: audio("longer", length=1024),
    },
    dynamic={"audio": {0: "batch", 1: "length"}},
    gains={"head.weight": 4.0},
    tier="core",
    expected_breaks="onnx-torchscript fails at convert: STFT needs opset 17, and complex results are refused there",
)
