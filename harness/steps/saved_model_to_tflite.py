"""Turns a SavedModel into a TensorFlow Lite file."""

from __future__ import annotations

from harness.bench import Artifact, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """`TFLiteConverter.from_saved_model`; its own operators only, since others would not run without TensorFlow."""
    assert source is not None
    import tensorflow as tf

    path = context.folder / "model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(source.path)).convert())
    return Artifact("tflite", path)


STEP = Step(
    summary="tf.lite.TFLiteConverter.from_saved_model",
    run=run,
    consumes="saved-model",
    produces="tflite",
    imports=("tensorflow",),
)
