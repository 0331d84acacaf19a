"""The weights alone, into an architecture that a TensorFlow library already has (claim C13)."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="the state dict matched to an existing TensorFlow implementation, served by TensorFlow from a SavedModel",
    steps=("state-to-saved-model-transferred",),
    runtime="tensorflow",
    needs_implementation=True,
    tools=("tensorflow",),
    limits="only where a TensorFlow library has the architecture; padding, strides and epsilons are that library's",
)
