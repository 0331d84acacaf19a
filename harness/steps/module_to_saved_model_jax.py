"""Turns a module into JAX with torch.export and torchax, and that into a SavedModel with jax2tf."""

from __future__ import annotations

import importlib.util
from typing import Any

from harness.bench import Artifact, NotApplicable, Step, StepContext
from harness.steps._signature import save


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Export, lower for both devices (the program runs on no other), and wrap; the shapes are the example's."""
    del source
    import torch

    if importlib.util.find_spec("torch.export") is None:
        msg = f"torchax needs torch.export, which exists from torch 2.1 on; this is torch {torch.__version__}"
        raise NotApplicable(msg)
    import tensorflow as tf
    import torchax.export
    from jax.experimental import jax2tf

    weights, function = torchax.export.exported_program_to_jax(
        torch.export.export(context.flat_module(), context.tensors())
    )
    lowered = jax2tf.convert(
        function, with_gradient=False, native_serialization=True, native_serialization_platforms=("cpu", "cuda")
    )
    variables = tf.nest.map_structure(tf.Variable, weights)

    def call(*inputs: Any) -> Any:
        return lowered(variables, inputs)

    return save(context, call, dynamic=False)


STEP = Step(
    summary="torch.export, torchax.export.exported_program_to_jax, jax2tf.convert",
    run=run,
    produces="saved-model",
    imports=("torch", "tensorflow"),
)
