"""Whether the simplifier mends a broken export, or breaks a good one (claim C18): hold it against onnx-torchscript."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="torch.onnx.export by TorchScript tracing, passed through OnnxSlim, served by ONNX Runtime",
    steps=("module-to-onnx-torchscript", "onnx-simplified", "onnx-checked"),
    runtime="onnxruntime",
    parameter="opset",
    extension="tools",
    tools=("torch", "onnxslim"),
    limits="can do no more than the exporter before it",
)
