"""Transfers a state dict into a TensorFlow implementation of the same architecture that nobody wrote for it."""

from __future__ import annotations

from typing import Any

from harness.bench import Artifact, NotApplicable, Step, StepContext
from harness.bench.tensors import flatten
from harness.steps._matching import match
from harness.steps._signature import save


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Match every entry with one variable, assign, and save.

    Tensors of rank 4 are images: PyTorch has their channels first, TensorFlow last, so they are transposed on their
    way in and out. The counters of BatchNorm have no part in inference and are left out.
    """
    del source
    if context.model.tensorflow_implementation is None:
        msg = f"{context.model_name} names no TensorFlow implementation that its weights could be transferred into"
        raise NotApplicable(msg)
    import numpy as np

    implementation = context.model.tensorflow_implementation()
    variables = list(implementation.weights)
    kept = {name for name, _ in context.module.named_parameters()}
    state = {
        name: value
        for name, value in context.state().items()
        if name in kept or name.rpartition(".")[2].startswith("running_")
    }
    paths = [(getattr(variable, "path", variable.name), tuple(variable.shape)) for variable in variables]
    for pair in match({name: value.shape for name, value in state.items()}, paths):
        variables[pair.variable].assign(np.ascontiguousarray(state[pair.entry].transpose(pair.axes)))

    def call(*inputs: Any) -> Any:
        ours = [_transposed(tensor, (0, 2, 3, 1)) for tensor in inputs]
        outputs = implementation(ours[0] if len(ours) == 1 else ours, training=False)
        return [_transposed(tensor, (0, 3, 1, 2)) for tensor in flatten(outputs)]

    return save(context, call)


def _transposed(tensor: Any, axes: tuple[int, ...]) -> Any:
    import tensorflow as tf

    return tf.transpose(tensor, axes) if len(tensor.shape) == len(axes) else tensor


STEP = Step(
    summary="match each entry of the state dict to a variable by name, order, shape and layout",
    run=run,
    produces="saved-model",
    imports=("torch", "tensorflow"),
)
