"""The model written again in TensorFlow, with its weights mapped by hand."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="a hand-written TensorFlow twin with hand-mapped weights, served by TensorFlow from a SavedModel",
    steps=("twin-to-saved-model",),
    runtime="tensorflow",
    needs_twin=True,
)
