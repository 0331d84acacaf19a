"""Exports to ONNX by tracing to TorchScript, the exporter that every torch version has."""

from __future__ import annotations

import inspect

from harness.bench import Artifact, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Export with the model's dynamic dimensions; the opset is the tool's default unless the strategy binds one.

    The tool takes what goes by position, None where an argument is left out, and dicts, lists and tuples; for the
    rest (keywords, constants, classes) there is a wrapper around the module.
    """
    del source
    import torch

    path = context.folder / "model.onnx"
    options = {"opset_version": context.parameters["opset"]} if "opset" in context.parameters else {}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    module, args = context.positional_call() or (context.flat_module(), context.tensors())
    if args and isinstance(args[-1], dict):
        args = (*args, {})  # a dict that comes last would be taken for keyword arguments
    torch.onnx.export(
        module,
        args,
        str(path),
        input_names=list(context.inputs),
        output_names=[f"output_{index}" for index in range(context.output_count)],
        dynamic_axes=context.dynamic or None,
        **options,
    )
    return Artifact("onnx", path)


STEP = Step(
    summary="torch.onnx.export by TorchScript tracing",
    run=run,
    produces="onnx",
    imports=("torch", "onnx"),
)
