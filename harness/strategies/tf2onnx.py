"""The recreated model back to ONNX; tf2onnx itself never sees PyTorch (claim C10 is about its opsets)."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="the TensorFlow twin to ONNX by tf2onnx, served by ONNX Runtime",
    steps=("twin-to-saved-model", "saved-model-to-onnx-tf2onnx", "onnx-checked"),
    runtime="onnxruntime",
    parameter="opset",
    values={"core": (11, 13, 15, 16, 17, 18)},
    needs_twin=True,
    tools=("tensorflow", "tf2onnx"),
    limits="goes from TensorFlow to ONNX: somebody has to write the TensorFlow model first; no opset above 18",
)
