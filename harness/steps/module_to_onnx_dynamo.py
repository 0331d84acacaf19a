"""Exports to ONNX through `torch.export`, from torch 2.5."""

from __future__ import annotations

import inspect

from harness.bench import Artifact, NotApplicable, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Export with the model's dynamic dimensions; the opset is the tool's default unless the strategy binds one."""
    del source
    import torch

    # torch 2.1 to 2.4 have `dynamo_export`, which is another exporter: only the parameter tells.
    if "dynamo" not in inspect.signature(torch.onnx.export).parameters:
        msg = f"torch.onnx.export(dynamo=True) exists from torch 2.5 on; this is {torch.__version__}"
        raise NotApplicable(msg)
    path = context.folder / "model.onnx"
    options = {"opset_version": context.parameters["opset"]} if "opset" in context.parameters else {}
    torch.onnx.export(
        context.module,
        context.tensors(),
        str(path),
        input_names=list(context.inputs),
        output_names=[f"output_{index}" for index in range(context.output_count)],
        dynamic_shapes=_dynamic_shapes(context),
        dynamo=True,
        **options,
    )
    return Artifact("onnx", path)


def _dynamic_shapes(context: StepContext) -> tuple[dict[int, object], ...] | None:
    """One mapping an input, in the order of `forward`; equal names are one dimension."""
    import torch

    if not context.model.dynamic:
        return None
    names = sorted({name for axes in context.model.dynamic.values() for name in axes.values()})
    dimensions = {name: torch.export.Dim(name) for name in names}
    return tuple(
        {axis: dimensions[name] for axis, name in context.model.dynamic.get(key, {}).items()} for key in context.inputs
    )


STEP = Step(
    summary="torch.onnx.export(dynamo=True), by torch.export",
    run=run,
    produces="onnx",
    imports=("torch", "onnx"),
)
