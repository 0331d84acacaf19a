"""The serving signature of every SavedModel of ours: inputs by the context's names, outputs by number: `output_0`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.bench import Artifact, StepContext
from harness.bench.tensors import flatten


def save(context: StepContext, call: Callable[..., Any], *, dynamic: bool = True) -> Artifact:
    """Trace `call` for the model's inputs and save it with the variables that it reads, and nothing else.

    The object behind `call` is not saved itself: Keras 2 would trace every layer of it once more.
    """
    import tensorflow as tf

    specs = [
        tf.TensorSpec(_shape(value.shape, context.dynamic.get(name, {}) if dynamic else {}), value.dtype, name=name)
        for name, value in context.inputs.items()
    ]

    # AutoGraph reads sources anew, by line: only what it may have to convert is given to it.
    flat = tf.autograph.experimental.do_not_convert(flatten)

    @tf.function(input_signature=specs)  # type: ignore[untyped-decorator, unused-ignore]
    def serve(*inputs: Any) -> dict[str, Any]:
        return {f"output_{index}": output for index, output in enumerate(flat(call(*inputs)))}

    concrete = serve.get_concrete_function()
    served = tf.Module()
    served.weights = list(concrete.variables)
    path = context.folder / "saved_model"
    tf.saved_model.save(served, str(path), signatures={"serving_default": concrete})
    return Artifact("saved-model", path)


def _shape(shape: tuple[int, ...], dynamic: Mapping[int, str]) -> list[int | None]:
    return [None if axis in dynamic else size for axis, size in enumerate(shape)]
