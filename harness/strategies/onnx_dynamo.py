"""The exporter built on torch.export, the default from torch 2.9 on."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="torch.onnx.export(dynamo=True), served by ONNX Runtime",
    steps=("module-to-onnx-dynamo", "onnx-checked"),
    runtime="onnxruntime",
    parameter="opset",
)
