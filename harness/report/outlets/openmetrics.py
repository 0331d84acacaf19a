"""OpenMetrics text, for Prometheus and what reads it: https://prometheus.io/docs/specs/om/open_metrics_spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.report.outlets.facts import Facts, Quantity

_FAMILIES = {
    Quantity.LATENCY: ("harness_cell_latency_seconds", "seconds", 1e-3, "Median time of a call."),
    Quantity.MEMORY: ("harness_cell_peak_memory_bytes", "bytes", 2.0**20, "Peak memory of the serving process."),
    Quantity.SIZE: ("harness_cell_artifact_bytes", "bytes", 1.0, "Size of what is served."),
    Quantity.CONVERT: ("harness_cell_conversion_seconds", "seconds", 1.0, "Time that the conversion took."),
    Quantity.ERROR: ("harness_cell_error_ratio", "ratio", 1.0, "Relative error against the native output."),
}


def openmetrics(facts: Facts) -> str:
    """Gauges of the cells that passed, how many cells came to which outcome, and the pins as labels."""
    return "\n".join([*_lines(facts), "# EOF"]) + "\n"


def _lines(facts: Facts) -> Iterator[str]:
    for quantity, (family, unit, factor, told) in _FAMILIES.items():
        found = [figure for figure in facts.figures if figure.quantity is quantity]
        if found:
            yield from _family(family, told, unit)
        for figure in found:
            labels = {**facts.labels, "model": figure.model, "strategy": figure.strategy}
            yield f"{family}{_labels(labels)} {figure.value * factor:.12g}"
    if facts.counts:
        yield from _family("harness_cells", "Cells of a table by outcome.")
        for outcome, count in facts.counts.items():
            yield f"harness_cells{_labels({**facts.labels, 'outcome': outcome})} {count}"
    if facts.pins:
        yield "# TYPE harness_pins info"
        yield "# HELP harness_pins The packages that the combination pins."
        pins = {f"pin_{re.sub('[^a-zA-Z0-9_]', '_', name)}": version for name, version in facts.pins.items()}
        yield f"harness_pins_info{_labels({**facts.labels, **pins})} 1"


def _family(name: str, told: str, unit: str = "") -> Iterator[str]:
    yield f"# TYPE {name} gauge"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {told}"


def _labels(labels: Mapping[str, str]) -> str:
    shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{shown}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
