"""Passes an ONNX file through OnnxSlim.

onnxslim rather than onnxsim, the simplifier that the guides name (claim C18): both are released often, and onnxsim
0.8 needs `onnx.inliner`, which came with onnx 1.15, without saying so in its requirements; onnxslim runs with either.
"""

from __future__ import annotations

from harness.bench import Artifact, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """`onnxslim.slim` as it comes."""
    assert source is not None
    import onnx
    import onnxslim

    path = context.folder / "model.onnx"
    onnx.save(onnxslim.slim(onnx.load(str(source.path))), str(path))
    return Artifact("onnx", path)


STEP = Step(
    summary="onnxslim.slim",
    run=run,
    consumes="onnx",
    produces="onnx",
    imports=("onnx", "onnxslim"),
)
