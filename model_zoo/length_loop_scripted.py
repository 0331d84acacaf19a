"""What the guides say cannot be exported (claim C8): a loop over the length of a sequence, in its scripted form.

`torch.jit.script` keeps the loop, and the TorchScript exporter writes a real `Loop`, which takes any length.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform

FEATURES = 8
HIDDEN = 16


def build() -> Any:
    """A recurrent cell written by hand, and a linear head on its last state."""
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.Linear(FEATURES + HIDDEN, HIDDEN)
            self.head = nn.Linear(HIDDEN, 4)

        def forward(self, sequence: torch.Tensor) -> torch.Tensor:
            state = torch.zeros(
                [sequence.shape[0], self.cell.out_features], dtype=sequence.dtype, device=sequence.device
            )
            for step in range(sequence.shape[1]):
                state = torch.tanh(self.cell(torch.cat([sequence[:, step], state], dim=1)))
            return self.head(state)

    return torch.jit.script(Recurrent())


def sequences(seed: str, batch: int = 2, length: int = 6) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, FEATURES), seed=seed)}


MODEL = Model(
    summary="A scripted loop over the length of the sequence: a real loop must come out of the export",
    family="hard-to-export",
    build=build,
    example=lambda: sequences("example"),
    probes={
        "other-values": lambda: sequences("other values"),
        "more-values": lambda: sequences("more values"),
        "larger-batch": lambda: sequences("larger batch", batch=5),
        "longer": lambda: sequences("longer", length=9),
        "shorter": lambda: sequences("shorter", length=4),
    },
    dynamic={"sequence": {0: "batch", 1: "length"}},
    tier="core",
    expected_breaks="onnx-dynamo fails at convert: torch.export takes no scripted module",
)
