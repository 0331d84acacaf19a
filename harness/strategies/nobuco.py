"""PyTorch to Keras, operator by operator."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="nobuco to a Keras model, served by TensorFlow from a SavedModel",
    steps=("module-to-saved-model-nobuco",),
    runtime="tensorflow",
    extension="tools",
    tools=("nobuco",),
    limits="Keras 2 only; it traces, so that control flow over data is lost unless it is marked in the model's source",
)
