"""Accuracy trap (claims C11 and C12): the twin is served with `training=True`.

Each image is normalised by the statistics of the batch it happens to come in; alone, by its own.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Model, State
from model_zoo import _digits


def twin(state: State) -> Any:
    """The twin in training mode."""
    return _digits.twin(state, training=True)


MODEL = Model(
    summary="The trained digits classifier with a twin that is left in training mode",
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
