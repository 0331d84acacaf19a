"""What the guides say cannot be exported (claim C8): a loop over the length of a sequence, as torch's `while_loop`.

It is an operator of higher order that `torch.export` keeps; the TorchScript exporter refuses it, since torch compiles
it by dynamo.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, NotApplicable, uniform

FEATURES = 8
HIDDEN = 16


def build() -> Any:
    """A recurrent cell written by hand, and a linear head on its last state."""
    import torch
    from torch import nn

    try:
        from torch._higher_order_ops.while_loop import while_loop
    except ImportError:
        msg = f"while_loop does not exist in torch {torch.__version__}"
        raise NotApplicable(msg) from None

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.Linear(FEATURES + HIDDEN, HIDDEN)
            self.head = nn.Linear(HIDDEN, 4)

        def forward(self, sequence: Any) -> Any:
            def within(step: Any, state: Any) -> Any:  # noqa: ARG001 - both functions take all that is carried
                return step < sequence.shape[1]

            def advance(step: Any, state: Any) -> tuple[Any, Any]:
                current = sequence.index_select(1, step.reshape(1)).squeeze(1)
                return step + 1, torch.tanh(self.cell(torch.cat([current, state], dim=1)))

            first = torch.zeros((), dtype=torch.int64, device=sequence.device)
            start = (first, sequence.new_zeros((sequence.shape[0], HIDDEN)))
            _, state = while_loop(within, advance, start)
            return self.head(state)

    return Recurrent()


def sequences(seed: str, batch: int = 2, length: int = 6) -> Inputs:
    """A batch of sequences of feature vectors."""
    return {"sequence": uniform((batch, length, FEATURES), seed=seed)}


MODEL = Model(
    summary="while_loop over the length of the sequence: exporters by torch.export must keep the loop",
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
    # Running it imports this, which crashes once TensorFlow is imported (seen with torch 2.13 and TensorFlow 2.21).
    imports=("torch", "torch._dynamo"),
    tier="core",
    expected_breaks="onnx-torchscript fails at convert: it cannot trace while_loop",
)
