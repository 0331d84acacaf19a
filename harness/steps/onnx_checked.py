"""Checks an ONNX file as its own library does, and reads what is written in it."""

from __future__ import annotations

from harness.bench import Artifact, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """`onnx.checker.check_model` by path; without `full_check`, so that the runtime has its own say at `load`."""
    del context
    assert source is not None
    import onnx

    onnx.checker.check_model(str(source.path))
    proto = onnx.load(str(source.path), load_external_data=False)
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), None)
    facts = {"ir_version": proto.ir_version} if opset is None else {"opset": opset, "ir_version": proto.ir_version}
    return Artifact("onnx", source.path, facts)


STEP = Step(
    summary="onnx.checker.check_model",
    run=run,
    consumes="onnx",
    produces="onnx",
    stage="validate",
    imports=("onnx",),
)
