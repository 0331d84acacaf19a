"""PyTorch straight to TensorFlow Lite."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="litert-torch straight to TensorFlow Lite, served by the LiteRT interpreter",
    steps=("module-to-tflite-litert",),
    runtime="tflite",
    shapes="static",
    extension="tools",
    tools=("litert-torch", "ai-edge-litert"),
    limits="torch 2.4 and later; shapes are the example's; control flow over data is refused",
)
