"""Blame over simulated laboratories: comparisons to be blamed for, and what holds of every claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.bench.record import Record
from harness.bench.registry import discover
from harness.bump.blaming import blame
from harness.bump.schema import Answer, Blame, Package
from harness.bump.trials import TrialCell
from harness.report.bump import evidence_of
from harness.verdict.comparison import Comparison, compare
from tests.bump.laboratories import Pins, SimulatedLaboratory
from tests.tables.samples import failed, passed, table

MODEL, STRATEGY = "embedding-new-zeros", "onnx-torchscript"
REGISTRY = discover()


def breaks_where(condition: Callable[[Pins], bool], **values: Any) -> Callable[[Pins, TrialCell], Record]:
    """What every cell comes to: it fails where `condition` holds of what is installed."""

    def record(pins: Pins, cell: TrialCell) -> Record:
        return failed(*cell, **values) if condition(pins) else passed(*cell)

    return record


def comparison_of(laboratory: SimulatedLaboratory, *cells: TrialCell) -> Comparison:
    sides = [
        table(
            *(laboratory.record(pins, cell) for cell in cells or [(MODEL, STRATEGY)]),
            pins=dict(pins),
            packages=dict(pins),
            started=f"2026-01-31T1{hour}:00:00Z",
        )
        for hour, pins in enumerate((laboratory.before, laboratory.after))
    ]
    return compare(sides[0], sides[1])


def blamed(laboratory: SimulatedLaboratory, *cells: TrialCell) -> Blame:
    (found,) = blame(laboratory, comparison_of(laboratory, *cells), registry=REGISTRY)
    check_claims(laboratory, found)
    return found


def check_claims(laboratory: SimulatedLaboratory, found: Blame) -> None:
    """Each piece of evidence is what the laboratory says of that mix, and was run unless it has no solution."""
    for each in evidence_of(found):
        if each.answer is Answer.UNRESOLVABLE:
            assert each.reason
            assert not each.trial
        else:
            assert each.trial
            assert each.file.startswith(f".harness/trials/{each.trial}/")


def names(packages: tuple[Package, ...]) -> set[str]:
    return {package.name for package in packages}


def newer(name: str) -> Callable[[Pins], bool]:
    """Whether the package is the candidate's."""
    return lambda pins: pins.get(name) == "2.0"


def pair_fits(pins: Pins) -> bool:
    """A version of torch and the one of torchvision that is made for it."""
    made = {"2.0.1": "0.15.2", "2.1.0": "0.16.0", "2.1.1": "0.16.1", "2.1.2": "0.16.2", "2.2.0": "0.17.0"}
    return "torchvision" not in pins or made[pins["torch"]] == pins["torchvision"]


def embedding(**values: Any) -> SimulatedLaboratory:
    facts: dict[str, Any] = {
        "before": {"torch": "2.0.1", "torchvision": "0.15.2", "onnx": "1.14.0", "onnxruntime-gpu": "1.15.1"},
        "after": {"torch": "2.1.0", "torchvision": "0.16.0", "onnx": "1.14.0", "onnxruntime-gpu": "1.15.1"},
        "record": breaks_where(lambda pins: pins["torch"] == "2.1.0", fingerprint="16d3404c9d72"),
        "fits": pair_fits,
        "released": {"torch": ["2.1.1", "2.1.2", "2.2.0"], "torchvision": ["0.16.1", "0.16.2", "0.17.0"]},
    }
    return SimulatedLaboratory(**{**facts, **values})


SIX = ("torch", "onnx", "onnxruntime", "numpy", "tf2onnx", "protobuf")
