"""The numbers beside a comparison: cells that pass on both sides, as rows of text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.report.wording import number
from harness.verdict.comparison import CellChange, Comparison
from harness.verdict.numbers import NumberChange, Quantity

SHOWN = 40
"""Rows of the table; where there are more cells, those whose numbers moved most are shown."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A table of numbers. `hidden` counts the cells left out."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    hidden: int


def figures(comparison: Comparison, *, arrow: str = "->") -> Figures:
    """The numbers of the cells that pass on both sides; without latency and memory where the machines differ."""
    changes = [change for change in comparison.changes if change.numbers]
    moved_most = sorted(changes, key=_moved, reverse=True)[:SHOWN]
    shown = [change for change in changes if change in moved_most]
    quantities = [q for q in Quantity if not (q.of_machine and comparison.numbers_left_out)]
    header = ["cell"]
    for quantity in quantities:
        header += _header(quantity)
    return Figures(
        header=tuple(header),
        rows=tuple(_row(change, quantities, arrow=arrow) for change in shown),
        hidden=len(changes) - len(shown),
    )


def _header(quantity: Quantity) -> list[str]:
    if quantity is Quantity.SIZE:
        return ["size ratio"]
    named = f"{quantity.value} ({quantity.unit})" if quantity.unit else quantity.value
    return [named] if quantity is Quantity.ERROR else [named, "ratio"]


def _row(change: CellChange, quantities: list[Quantity], *, arrow: str) -> tuple[str, ...]:
    known = {each.quantity: each for each in change.numbers}
    cells = [change.name]
    for quantity in quantities:
        each = known.get(quantity)
        if quantity is Quantity.SIZE:
            cells.append(_ratio(each))
        elif quantity is Quantity.ERROR:
            cells.append(f"{each.base:.1e} {arrow} {each.candidate:.1e}" if each else "")
        else:
            cells += [f"{number(each.base)} {arrow} {number(each.candidate)}" if each else "", _ratio(each)]
    return tuple(cells)


def _ratio(change: NumberChange | None) -> str:
    return "" if change is None or change.ratio is None else f"x{change.ratio:.2f}"


def _moved(change: CellChange) -> float:
    """The largest factor by which a number moved, either way; a relative error moves by orders and means little."""
    ratios = [n.ratio for n in change.numbers if n.ratio and n.quantity is not Quantity.ERROR]
    return max((abs(math.log(ratio)) for ratio in ratios), default=0.0)
