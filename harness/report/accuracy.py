"""Accuracy on labelled data, as rows of text: what a conversion costs, and what an upgrade does."""

from __future__ import annotations

from dataclasses import dataclass

from harness.bench.record import Record
from harness.report.figures import SHOWN
from harness.tables.schema import Table
from harness.verdict.comparison import CellChange, Comparison, count_of

TITLE = "Accuracy on labelled data"

_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class Accuracies:
    """A table of accuracies. `rest` says what it leaves out; empty where it leaves out nothing."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rest: str = ""


def accuracies(table: Table) -> Accuracies:
    """Each model that has labelled data: its native accuracy, and the strategies by the accuracy that they keep."""
    groups: dict[tuple[str, float, float], list[str]] = {}
    for record in table.records:
        known = _of(record)
        if known:
            groups.setdefault((record.model, *known), []).append(record.strategy)
    rows = tuple(
        (model, percent(native), percent(converted), _named(groups[model, native, converted]))
        for model, native, converted in sorted(groups, key=lambda key: (key[0], key[1], -key[2]))
    )
    return Accuracies(header=("model", "native", "converted", "strategies"), rows=rows)


def accuracy_changes(comparison: Comparison, *, arrow: str = "->") -> Accuracies:
    """The cells whose accuracy, native or converted, is another in the candidate; the largest change first."""
    known = [c for c in comparison.changes if not c.category.untold and _of(c.base) and _of(c.candidate)]
    changed = sorted((change for change in known if _moved(change)), key=_moved, reverse=True)
    shown = changed[:SHOWN]
    rows = tuple(
        (change.name, *(f"{percent(b)} {arrow} {percent(c)}" for b, c in zip(*_sides(change), strict=True)))
        for change in shown
    )
    parts = [f"{count_of(len(changed) - len(shown))} that moved less"] if len(changed) > len(shown) else []
    parts += [f"{count_of(len(known) - len(changed))} with the same accuracy"] if len(known) > len(changed) else []
    rest = f"Left out: {', '.join(parts)}." if parts else ""
    if known and not changed:
        rest = f"the same on both sides ({count_of(len(known))})."
    return Accuracies(header=("cell", "native", "converted"), rows=rows, rest=rest)


def percent(value: float) -> str:
    """`97.78 %`."""
    return f"{100 * value:.2f} %"


def _named(strategies: list[str]) -> str:
    rest = len(strategies) - _NAMED
    return ", ".join(strategies[:_NAMED]) + (f", and {rest} more" if rest > 0 else "")


def _of(record: Record | None) -> tuple[float, float] | None:
    if record is None or record.accuracy_native is None or record.accuracy_converted is None:
        return None
    return record.accuracy_native, record.accuracy_converted


def _sides(change: CellChange) -> tuple[tuple[float, float], tuple[float, float]]:
    base, candidate = _of(change.base), _of(change.candidate)
    assert base is not None
    assert candidate is not None
    return base, candidate


def _moved(change: CellChange) -> float:
    return max(abs(c - b) for b, c in zip(*_sides(change), strict=True))
