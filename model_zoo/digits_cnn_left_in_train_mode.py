"""Accuracy trap (claim C11): nobody called `model.eval()` before handing the module on.

The native output is that of eval mode. What is served by PyTorch itself, and what an exporter writes that keeps the
module's mode, normalises by the batch; the TorchScript exporter switches to eval by itself.
"""

from __future__ import annotations

from harness.bench import Model
from model_zoo import _digits

MODEL = Model(
    summary="The trained digits classifier handed over in train mode: BatchNorm uses each batch's statistics",
    family="accuracy-trap",
    build=_digits.build,
    example=lambda: _digits.images(0),
    probes=_digits.PROBES,
    dynamic={"image": {0: "batch"}},
    weights=_digits.weights,
    labelled=_digits.labelled,
    twin=_digits.twin,
    tier="core",
    train_mode=True,
    expected_breaks="native mismatches in every version, and so does whatever keeps the module in train mode",
)
