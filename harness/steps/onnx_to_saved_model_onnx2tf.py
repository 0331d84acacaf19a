"""Turns an ONNX file into a SavedModel with onnx2tf, which moves everything to TensorFlow's layout on its way."""

from __future__ import annotations

from harness.bench import Artifact, Step, StepContext, uniform

_SAMPLES = "calibration_image_sample_data_20x128x128x3_float32.npy"


def run(context: StepContext, source: Artifact | None) -> Artifact:
    """`onnx2tf.convert`, told to keep the inputs as they are; where it transposes an output, the match will say so.

    On an operator that it cannot convert it ends the process with `SystemExit`.
    """
    assert source is not None
    import numpy as np
    import onnx2tf

    if any(value.shape[3:] == (3,) for value in context.inputs.values()):
        # It would download photographs to check its layers on; what it finds in the working directory it takes instead.
        np.save(_SAMPLES, uniform((20, 128, 128, 3), seed="photographs", low=0.0, high=1.0))
    path = context.folder / "saved_model"
    onnx2tf.convert(
        input_onnx_file_path=str(source.path),
        output_folder_path=str(path),
        not_use_onnxsim=True,
        keep_shape_absolutely_input_names=list(context.inputs),
        output_signaturedefs=True,
        non_verbose=True,
    )
    for leftover in path.glob("*.tflite"):
        leftover.unlink()  # written as well, and not what is served
    return Artifact("saved-model", path)


STEP = Step(
    summary="onnx2tf.convert",
    run=run,
    consumes="onnx",
    produces="saved-model",
    imports=("onnx", "tensorflow", "onnx2tf"),
)
