"""Exports to ONNX by tracing to TorchScript, the exporter that every torch version has."""

from __future__ import annotations

import inspect

from harness.bench import Artifact, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Export with the model's dynamic dimensions; the opset is the tool's default unless the strategy binds one."""
    del source
    import torch

    path = context.folder / "model.onnx"
    options = {"opset_version": context.parameters["opset"]} if "opset" in context.parameters else {}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    torch.onnx.export(
        context.module,
        context.tensors(),
        str(path),
        input_names=list(context.inputs),
        output_names=[f"output_{index}" for index in range(context.output_count)],
        dynamic_axes={name: dict(axes) for name, axes in context.model.dynamic.items()} or None,
        **options,
    )
    return Artifact("onnx", path)


STEP = Step(
    summary="torch.onnx.export by TorchScript tracing",
    run=run,
    produces="onnx",
    imports=("torch", "onnx"),
)
