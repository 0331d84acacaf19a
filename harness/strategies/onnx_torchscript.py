"""The exporter that most production pipelines run."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="torch.onnx.export by TorchScript tracing, served by ONNX Runtime",
    steps=("module-to-onnx-torchscript", "onnx-checked"),
    runtime="onnxruntime",
    parameter="opset",
    values={"quick": (16,), "core": (11, 17)},
)
