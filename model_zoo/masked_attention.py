"""Attention over padded sequences: a second input says which positions count."""

from __future__ import annotations

import math
from typing import Any

from harness.bench import Inputs, Model, integers, uniform

WIDTH = 32
HEADS = 4


def build() -> Any:
    """One layer of attention with an additive padding mask, and the mean over the positions that count."""
    import torch
    from torch import nn

    class MaskedAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query = nn.Linear(WIDTH, WIDTH)
            self.key = nn.Linear(WIDTH, WIDTH)
            self.value = nn.Linear(WIDTH, WIDTH)
            self.head = nn.Linear(WIDTH, 5)

        def forward(self, sequence: Any, mask: Any) -> Any:
            batch, length, width = sequence.shape
            split = (batch, length, HEADS, width // HEADS)
            query = self.query(sequence).view(split).transpose(1, 2)
            key = self.key(sequence).view(split).transpose(1, 2)
            value = self.value(sequence).view(split).transpose(1, 2)
            scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(width // HEADS)
            scores = scores + (1.0 - mask.to(scores.dtype))[:, None, None, :] * torch.finfo(scores.dtype).min
            mixed = torch.matmul(scores.softmax(dim=-1), value).transpose(1, 2).reshape(batch, length, width)
            counted = mask.unsqueeze(-1).to(mixed.dtype)
            return self.head((mixed * counted).sum(dim=1) / counted.sum(dim=1))

    return MaskedAttention()


def padded(seed: str, batch: int = 3, length: int = 10) -> Inputs:
    """Sequences of feature vectors and a mask of ones for the first positions, at least two, and zeros after them."""
    import numpy as np

    lengths = integers((batch,), low=2, high=length + 1, seed=seed)
    return {
        "sequence": uniform((batch, length, WIDTH), seed=seed, low=-2.0, high=2.0),
        "mask": (np.arange(length)[None, :] < lengths[:, None]).astype(np.int64),
    }


MODEL = Model(
    summary="Attention with a padding mask as a second input, and a mean over what is not padding",
    family="transformer",
    build=build,
    example=lambda: padded("example"),
    probes={
        "other-values": lambda: padded("other values"),
        "more-values": lambda: padded("more values"),
        "single": lambda: padded("single", batch=1),
        "longer": lambda: padded("longer", length=17),
    },
    dynamic={"sequence": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "length"}},
    tier="core",
)
