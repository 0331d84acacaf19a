"""Accuracy trap (claim C12): Keras's own BatchNorm epsilon, 1e-3, in place of torch's 1e-5.

The error is real and small where variances are of ordinary size: MSE and accuracy hardly show it.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Model, State
from model_zoo import _digits


def twin(state: State) -> Any:
    """The twin with 1e-3 for 1e-5."""
    return _digits.twin(state, epsilon=1e-3)


MODEL = Model(
    summary="The trained digits classifier with a twin that keeps the BatchNorm epsilon of Keras",
    family="accuracy-trap",
    build=_digits.build,
    example=lambda: _digits.images(0),
    probes=_digits.PROBES,
    dynamic={"image": {0: "batch"}},
    weights=_digits.weights,
    labelled=_digits.labelled,
    twin=twin,
    tier="core",
    expected_breaks="manual-recreation mismatches in every version; accuracy hardly moves",
)
