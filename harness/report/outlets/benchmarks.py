"""Figures for services that follow benchmarks from run to run: github-action-benchmark, and Bencher."""

from __future__ import annotations

import json
from typing import Any

from harness.report.outlets.facts import Facts, Figure, Quantity

_MEASURES = {
    Quantity.LATENCY: ("latency", 1e6),
    Quantity.MEMORY: ("peak-memory", 2.0**20),
    Quantity.SIZE: ("file-size", 1.0),
    Quantity.CONVERT: ("build-time", 1.0),
    Quantity.ERROR: ("relative-error", 1.0),
}
"""Bencher's measures, and the factor of a figure. Its own ones are latency in ns, file size in B, build time in s."""


def github_action_benchmark(facts: Facts) -> str:
    """The custom format of benchmark-action/github-action-benchmark; its tool is `customSmallerIsBetter`."""
    labels = ", ".join(f"{name} {value}" for name, value in facts.labels.items())
    entries: list[dict[str, Any]] = []
    for figure in facts.figures:
        entry: dict[str, Any] = {
            "name": f"{figure.cell} {figure.quantity.words}",
            "unit": figure.quantity.unit,
            "value": figure.value,
        }
        if figure.half_iqr is not None:
            entry["range"] = f"± {figure.half_iqr:.6g}"
        care = f"; to be taken with care: {figure.care}" if figure.care else ""
        entries.append({**entry, "extra": f"{labels}, started {facts.started}{care}"})
    return json.dumps(entries, indent=1) + "\n"


def bencher(facts: Facts) -> str:
    """Bencher's metric format: a benchmark a cell, with its measures."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for figure in facts.figures:
        slug, factor = _MEASURES[figure.quantity]
        found.setdefault(figure.cell, {})[slug] = _metric(figure, factor)
    return json.dumps(found, indent=1) + "\n"


def _metric(figure: Figure, factor: float) -> dict[str, float]:
    metric = {"value": figure.value * factor}
    if (half := figure.half_iqr) is not None:
        metric |= {
            "lower_value": max(figure.value - half, 0.0) * factor,
            "upper_value": (figure.value + half) * factor,
        }
    return metric
