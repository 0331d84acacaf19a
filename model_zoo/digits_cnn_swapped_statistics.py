"""Accuracy trap (claim C12): the moving variance where Keras expects the moving mean, and the mean as variance.

A mean below zero, taken as a variance, has no root: such a channel becomes NaN, which a ReLU may turn into zero, and
only the error and the accuracy show it.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Model, State
from model_zoo import _digits


def twin(state: State) -> Any:
    """The twin with the two statistics in the wrong order."""
    return _digits.twin(state, order=("running_var", "running_mean"))


MODEL = Model(
    summary="The trained digits classifier with a twin that swaps the moving mean and variance",
    family="accuracy-trap",
    build=_digits.build,
    example=lambda: _digits.images(0),
    probes=_digits.PROBES,
    dynamic={"image": {0: "batch"}},
    weights=_digits.weights,
    labelled=_digits.labelled,
    twin=twin,
    tier="core",
    expected_breaks="manual-recreation mismatches in every version, and accuracy is lost",
)
