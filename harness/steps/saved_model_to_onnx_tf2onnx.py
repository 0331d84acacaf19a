"""Turns a SavedModel into ONNX with tf2onnx."""

from __future__ import annotations

import sys

from harness.bench import Artifact, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """`python -m tf2onnx.convert --saved-model`, without the new process; the opset is tf2onnx's own or the bound one.

    The command rather than `from_function`, which takes larger constants of the graph for inputs, or `from_keras`,
    which knows Keras 3 badly (tensorflow-onnx#2319).
    """
    assert source is not None
    import onnx
    import tf2onnx.convert

    path = context.folder / "model.onnx"
    sys.argv = ["tf2onnx.convert", "--saved-model", str(source.path), "--output", str(path)]
    sys.argv += ["--tag", "serve", "--signature_def", "serving_default"]
    if "opset" in context.parameters:
        sys.argv += ["--opset", str(context.parameters["opset"])]
    tf2onnx.convert.main()
    proto = onnx.load(str(path))
    # As the model has them: a signature's names are sorted as text, `output_10` before `output_2`.
    outputs = sorted(proto.graph.output, key=lambda output: int(output.name.rpartition("_")[2]))
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    onnx.save(proto, str(path))
    return Artifact("onnx", path)


STEP = Step(
    summary="tf2onnx.convert --saved-model",
    run=run,
    consumes="saved-model",
    produces="onnx",
    imports=("tensorflow", "tf2onnx", "onnx"),
)
