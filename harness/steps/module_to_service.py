"""Keeps what a PyTorch service needs to start by itself: state dict, model file, its imports, how inputs are bound."""

from __future__ import annotations

import json

from harness.bench import Artifact, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Save both into one folder."""
    del source
    import torch

    path = context.folder / "service"
    path.mkdir()
    torch.save(context.module.state_dict(), path / "state.pt")
    described = {
        "model_file": str(context.model_file.resolve()),
        "paths": [str(folder.resolve()) for folder in context.paths],
        "binding": context.binding.to_json(),
    }
    (path / "service.json").write_text(json.dumps(described), encoding="utf-8")
    return Artifact("torch-service", path)


STEP = Step(
    summary="save the state dict beside the name of the model's file and how its inputs are bound",
    run=run,
    produces="torch-service",
    imports=("torch",),
)
