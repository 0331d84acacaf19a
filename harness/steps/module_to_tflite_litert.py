"""Turns a module into a TensorFlow Lite file with litert-torch, without TensorFlow."""

from __future__ import annotations

from harness.bench import Artifact, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """`litert_torch.convert` for the example's shapes."""
    del source
    import litert_torch

    path = context.folder / "model.tflite"
    litert_torch.convert(context.flat_module(), context.tensors()).export(str(path))
    return Artifact("tflite", path)


STEP = Step(
    summary="litert_torch.convert",
    run=run,
    produces="tflite",
    imports=("torch", "litert_torch"),
)
