"""A classifier with BatchNorm that is really trained, on digits: what a conversion costs in accuracy (claim C13)."""

from __future__ import annotations

from harness.bench import Model
from model_zoo import _digits

MODEL = Model(
    summary="A trained classifier of 8 x 8 digits with BatchNorm, with a held-out test set and a right twin",
    family="vision",
    build=_digits.build,
    example=lambda: _digits.images(0),
    probes=_digits.PROBES,
    dynamic={"image": {0: "batch"}},
    weights=_digits.weights,
    labelled=_digits.labelled,
    twin=_digits.twin,
    tier="core",
)
