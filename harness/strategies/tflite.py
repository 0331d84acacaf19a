"""The recreated model for small devices."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="the TensorFlow twin to TensorFlow Lite, served by the LiteRT interpreter",
    steps=("twin-to-saved-model", "saved-model-to-tflite"),
    runtime="tflite",
    needs_twin=True,
    extension="tools",
    tools=("tensorflow", "ai-edge-litert"),
    limits="its own operators only; somebody has to write the TensorFlow model first",
)
