"""Accuracy trap (claim C12): torch's BatchNorm momentum, 0.1, copied into Keras, where it means 0.9.

Momentum has no part in inference: this twin must match exactly, whatever the guides say. What it does to a model that
is trained on in Keras shows `digits-cnn-wrong-momentum-tuned`.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Model, State
from model_zoo import _digits


def twin(state: State) -> Any:
    """The twin with 0.1 for 0.9."""
    return _digits.twin(state, momentum=0.1)


MODEL = Model(
    summary="The trained digits classifier with a twin of the wrong momentum, in inference only: no effect",
    family="accuracy-trap",
    build=_digits.build,
    example=lambda: _digits.images(0),
    probes=_digits.PROBES,
    dynamic={"image": {0: "batch"}},
    weights=_digits.weights,
    labelled=_digits.labelled,
    twin=twin,
    tier="core",
    expected_breaks="nothing: momentum has no effect in inference",
)
