"""Exports to ONNX through `torch.export`, from torch 2.5."""

from __future__ import annotations

import inspect
from typing import Any

from harness.bench import Artifact, NotApplicable, Step, StepContext
from harness.bench.binding import parameters_of


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Export with the model's dynamic dimensions; the opset is the tool's default unless the strategy binds one.

    The tool takes arguments, keyword arguments, dicts, lists and tuples; for constants and values of classes there is
    a wrapper around the module.
    """
    del source
    import torch

    # torch 2.1 to 2.4 have `dynamo_export`, which is another exporter: only the parameter tells.
    if "dynamo" not in inspect.signature(torch.onnx.export).parameters:
        msg = f"torch.onnx.export(dynamo=True) exists from torch 2.5 on; this is {torch.__version__}"
        raise NotApplicable(msg)
    path = context.folder / "model.onnx"
    options = {"opset_version": context.parameters["opset"]} if "opset" in context.parameters else {}
    wrapped = context.binding.needs_wrapper or not all(context.binding.names) or _varies_by_any_name(context)
    module = context.flat_module() if wrapped else context.module
    args, kwargs = (context.tensors(), {}) if wrapped else context.call()
    if args and isinstance(args[-1], dict):
        # A dict that comes last would be taken for keyword arguments, unless there are some.
        args, kwargs = args[:-1], {context.binding.names[len(args) - 1]: args[-1], **kwargs}
    torch.onnx.export(
        module,
        args,
        str(path),
        kwargs=kwargs,
        input_names=list(context.inputs),
        output_names=[f"output_{index}" for index in range(context.output_count)],
        dynamic_shapes=_dynamic_shapes(context, wrapped=wrapped),
        dynamo=True,
        **options,
    )
    return Artifact("onnx", path)


def _varies_by_any_name(context: StepContext) -> bool:
    """Whether dimensions are dynamic and `**` takes an argument.

    torch.export then wants their shapes together, by the name after the stars, and the exporter fails on such shapes.
    """
    if not context.dynamic:
        return False
    named = {each.name for each in parameters_of(context.module) if each.kind != "**"}
    return any(name not in named for name in context.binding.kwargs)


def _dynamic_shapes(context: StepContext, *, wrapped: bool) -> dict[str, Any] | None:
    """One mapping an input, in the containers that `forward` takes them in; equal names are one dimension."""
    import torch

    if not context.dynamic:
        return None
    names = sorted({name for axes in context.dynamic.values() for name in axes.values()})
    dimensions = {name: torch.export.Dim(name) for name in names}
    leaves = {
        key: {axis: dimensions[name] for axis, name in context.dynamic.get(key, {}).items()} for key in context.inputs
    }
    if wrapped:
        return leaves
    args, named = context.binding.call(tuple(leaves.values()), {})
    return {**dict(zip(context.binding.names, args, strict=True)), **named}


STEP = Step(
    summary="torch.onnx.export(dynamo=True), by torch.export",
    run=run,
    produces="onnx",
    imports=("torch", "onnx"),
)
