"""Builds the model's hand-written TensorFlow twin, with its weights mapped by hand, as a SavedModel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.bench import Artifact, NotApplicable, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Save the twin with one signature: inputs by the model's names, outputs `output_0` and so on."""
    del source
    if context.model.twin is None:
        msg = f"{context.model_name} has no twin: nobody has recreated it in TensorFlow"
        raise NotApplicable(msg)
    import tensorflow as tf

    twin = context.model.twin(context.state())
    specs = [
        tf.TensorSpec(_shape(value.shape, context.model.dynamic.get(name, {})), value.dtype, name=name)
        for name, value in context.inputs.items()
    ]

    @tf.function(input_signature=specs)  # type: ignore[untyped-decorator, unused-ignore]
    def serve(*inputs: Any) -> dict[str, Any]:
        outputs = twin(*inputs)
        listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return {f"output_{index}": output for index, output in enumerate(listed)}

    concrete = serve.get_concrete_function()
    served = tf.Module()
    # Tracked, so that they are saved. The twin itself would have Keras 2 trace every layer once more.
    served.weights = list(concrete.variables)
    path = context.folder / "saved_model"
    tf.saved_model.save(served, str(path), signatures={"serving_default": concrete})
    return Artifact("saved-model", path)


def _shape(shape: tuple[int, ...], dynamic: Mapping[int, str]) -> list[int | None]:
    return [None if axis in dynamic else size for axis, size in enumerate(shape)]


STEP = Step(
    summary="the recreated TensorFlow model with its weights mapped by hand",
    run=run,
    produces="saved-model",
    imports=("torch", "tensorflow"),
)
