"""The converter that took onnx-tf's place.

It is given fixed shapes, as its own guide advises: where a model flattens, it folds an open batch into what follows.
"""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="torch.onnx.export by TorchScript tracing with fixed shapes, onnx2tf to a SavedModel, served by TensorFlow",
    steps=("module-to-onnx-torchscript-static", "onnx-checked", "onnx-to-saved-model-onnx2tf"),
    runtime="tensorflow",
    shapes="static",
    parameter="opset",
    values={"core": (16,)},
    extension="tools",
    tools=("torch", "onnx2tf"),
    limits="shapes are the example's; moves everything to TensorFlow's layout; outputs of rank 4 may stay in it",
)
