"""Keeps the module's weights, for serving by PyTorch itself."""

from __future__ import annotations

from harness.bench import Artifact, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Save the state dict."""
    del source
    import torch

    path = context.folder / "state.pt"
    torch.save(context.module.state_dict(), path)
    return Artifact("state-dict", path)


STEP = Step(summary="save the state dict", run=run, produces="state-dict", imports=("torch",))
