"""Turns an ONNX file into a SavedModel with onnx-tf, which is unmaintained since 2022."""

from __future__ import annotations

from harness.bench import Artifact, NotApplicable, Step, StepContext


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """`prepare` and `export_graph`; the graph keeps ONNX's layout and names, so nothing is to be brought back."""
    assert source is not None
    import onnx

    # Asked before the import, which would only say that a name cannot be imported.
    if not hasattr(onnx, "mapping"):
        msg = f"onnx-tf's last release imports onnx.mapping, which onnx 1.19 removed; this is onnx {onnx.__version__}"
        raise NotApplicable(msg)
    import onnx_tf.backend

    path = context.folder / "saved_model"
    onnx_tf.backend.prepare(onnx.load(str(source.path))).export_graph(str(path))
    return Artifact("saved-model", path)


STEP = Step(
    summary="onnx_tf.backend.prepare(…).export_graph",
    run=run,
    consumes="onnx",
    produces="saved-model",
    imports=("onnx", "tensorflow"),
)
