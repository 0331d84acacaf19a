"""The converter that most guides still name, unmaintained since 2022."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="torch.onnx.export by TorchScript tracing, onnx-tf to a SavedModel, served by TensorFlow",
    steps=("module-to-onnx-torchscript", "onnx-checked", "onnx-to-saved-model-onnx-tf"),
    runtime="tensorflow",
    parameter="opset",
    values={"core": (11,)},
    extension="tools",
    tools=("torch", "onnx-tf"),
    limits="no operator set above 13 in full: no LayerNormalization; not with onnx 1.19 and later",
)
