"""Builds the model's hand-written TensorFlow twin, with its weights mapped by hand, as a SavedModel."""

from __future__ import annotations

from harness.bench import Artifact, NotApplicable, Step, StepContext
from harness.steps._signature import save


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """Build the twin from the state dict and save it."""
    del source
    if context.model.twin is None:
        msg = "the model has no twin: nobody has recreated it in TensorFlow"
        raise NotApplicable(msg)
    return save(context, context.model.twin(context.state()))


STEP = Step(
    summary="the recreated TensorFlow model with its weights mapped by hand",
    run=run,
    produces="saved-model",
    imports=("torch", "tensorflow"),
)
