"""Accuracy trap (claim C12): torch's BatchNorm momentum, 0.1, copied into Keras, and the model trained on there.

The native side is the trained module after twenty small batches in training mode, weights left alone. The twin sees the
same batches; with the wrong momentum its moving statistics are those of the last batch and little else.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Model, State
from model_zoo import _digits


def twin(state: State) -> Any:
    """The trained network, tuned in Keras with 0.1 for 0.9."""
    untuned = {name: value for name, value in _digits.weights().items() if name.endswith(_digits.STATISTICS)}
    return _digits.twin({**state, **untuned}, momentum=0.1, tune=True)


MODEL = Model(
    summary="The trained digits classifier, its statistics tuned on, with a twin that tunes them by the wrong momentum",
    family="accuracy-trap",
    build=_digits.build,
    example=lambda: _digits.images(0),
    probes=_digits.PROBES,
    dynamic={"image": {0: "batch"}},
    weights=_digits.tuned_weights,
    labelled=_digits.labelled,
    twin=twin,
    tier="core",
    expected_breaks="manual-recreation mismatches in every version",
)
