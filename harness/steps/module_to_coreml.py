"""Turns a module into a Core ML package; that works on Linux, running it does not."""

from __future__ import annotations

from harness.bench import Artifact, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Trace, convert to an ML program for the example's shapes, and save the package."""
    del source
    import coremltools
    import torch

    tensors = context.tensors()
    with torch.no_grad():
        traced = torch.jit.trace(context.flat_module(), tensors)
    inputs = [
        coremltools.TensorType(name=name, shape=value.shape, dtype=value.dtype.type)
        for name, value in context.inputs.items()
    ]
    path = context.folder / "model.mlpackage"
    coremltools.convert(traced, inputs=inputs, convert_to="mlprogram").save(str(path))
    return Artifact("coreml", path)


STEP = Step(
    summary="torch.jit.trace, coremltools.convert",
    run=run,
    produces="coreml",
    imports=("torch", "coremltools"),
)
