"""Exports to ONNX by tracing to TorchScript with every dimension fixed, for tools that open dimensions lead astray."""

from __future__ import annotations

import dataclasses

from harness.bench import Artifact, Step, StepContext
from harness.steps.module_to_onnx_torchscript import run as export


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Export as if the model had no dynamic dimensions."""
    return export(dataclasses.replace(context, model=dataclasses.replace(context.model, dynamic={})), source)


STEP = Step(
    summary="torch.onnx.export by TorchScript tracing, for the example's shapes",
    run=run,
    produces="onnx",
    imports=("torch", "onnx"),
)
