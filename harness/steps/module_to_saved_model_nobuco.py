"""Turns a module into a Keras model with nobuco, which traces it operator by operator."""

from __future__ import annotations

from harness.bench import Artifact, NotApplicable, Step, StepContext
from harness.steps._signature import save

_TOO_NEW = 3


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """`nobuco.pytorch_to_keras` in PyTorch's layout, inside and out, with the model's dynamic dimensions left open."""
    del source
    import keras

    if int(keras.__version__.partition(".")[0]) >= _TOO_NEW:
        msg = f"nobuco imports Keras 2 internals and stops at import under Keras 3; this is Keras {keras.__version__}"
        raise NotApplicable(msg)
    import nobuco

    tensors = context.tensors()
    shapes = {
        tensor: [None if axis in context.dynamic.get(name, {}) else size for axis, size in enumerate(tensor.shape)]
        for name, tensor in zip(context.inputs, tensors, strict=True)
    }
    network = nobuco.pytorch_to_keras(
        context.flat_module(),
        args=list(tensors),
        input_shapes=shapes,
        inputs_channel_order=nobuco.ChannelOrder.PYTORCH,
        outputs_channel_order=nobuco.ChannelOrder.PYTORCH,
        trace_shape=True,  # or sizes that the model reads from its inputs become the example's
    )
    return save(context, lambda *inputs: network(inputs[0] if len(inputs) == 1 else list(inputs), training=False))


STEP = Step(
    summary="nobuco.pytorch_to_keras",
    run=run,
    produces="saved-model",
    imports=("torch", "tensorflow"),
)
