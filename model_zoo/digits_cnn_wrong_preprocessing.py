"""Accuracy trap (claim C17): the TensorFlow side scales its images as Keras applications do, to [-1, 1].

The module subtracts the mean of its training data and divides by its deviation.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Model, State
from model_zoo import _digits


def twin(state: State) -> Any:
    r"""The twin behind the scaling of \`tf.keras.applications.mobilenet.preprocess_input\`, for pixels up to 16."""
    return _digits.twin(state, scale=lambda image: image / (_digits.PIXEL_MAXIMUM / 2) - 1)


MODEL = Model(
    summary="The trained digits classifier with a twin that scales pixels to [-1, 1] instead of by mean and deviation",
    family="accuracy-trap",
    build=_digits.build,
    example=lambda: _digits.images(0),
    probes=_digits.PROBES,
    dynamic={"image": {0: "batch"}},
    weights=_digits.weights,
    labelled=_digits.labelled,
    twin=twin,
    tier="core",
    expected_breaks="manual-recreation mismatches in every version",
)
