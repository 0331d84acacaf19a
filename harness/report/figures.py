"""The numbers beside a comparison: cells that pass on both sides, as rows of text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.report.wording import number
from harness.verdict.comparison import CellChange, Comparison, count_of
from harness.verdict.numbers import GREW, ROUNDING, Magnitude, NumberChange, Quantity
from harness.verdict.shifts import CellMemory

FIGURES_TITLE = "Numbers of cells that pass on both sides"

SHOWN = 25
"""Rows of the table at most; those whose numbers moved most are shown, the largest change first."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A table of numbers. `cells` counts those that have any, `hidden` those that moved and have no room."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    cells: int
    hidden: int

    @property
    def rest(self) -> str:
        """What to say of the cells that are not shown; empty where all are."""
        level = self.cells - len(self.rows) - self.hidden
        if level and not self.rows:
            return f"neither size nor error nor memory of their own moved ({count_of(level)})."
        parts = [f"{count_of(self.hidden)} that moved less"] if self.hidden else []
        parts += [f"{count_of(level)} of which neither size nor error nor memory of their own moved"] if level else []
        return f"Left out: {', '.join(parts)}." if parts else ""


def figures(comparison: Comparison, *, arrow: str = "->") -> Figures:
    """The numbers of the cells that pass on both sides; without latency and memory where they are left out.

    Cells of which nothing moved are left out. A relative error moves by orders and means little as long as it is of
    the size of rounding: it counts where it rose tenfold to more than that. Memory counts as far as a cell was found
    to move by itself. Latency, which is no evidence here, puts no cell into the table and none at its head.
    """
    changes = [change for change in comparison.changes if change.numbers]
    memory = comparison.memory.by_cell()
    far = {
        change.name: _moved(change, memory.get((change.model, change.strategy, change.device))) for change in changes
    }
    notable = sorted((change for change in changes if far[change.name]), key=lambda c: far[c.name], reverse=True)
    shown = notable[:SHOWN]
    quantities = [q for q in Quantity if not (q.of_machine and comparison.numbers_left_out)]
    header = ["cell"]
    for quantity in quantities:
        header += _header(quantity)
    return Figures(
        header=tuple(header),
        rows=tuple(_row(change, quantities, arrow=arrow) for change in shown),
        cells=len(changes),
        hidden=len(notable) - len(shown),
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
            cells.append(f"{_error(each.base)} {arrow} {_error(each.candidate)}" if each else "")
        else:
            cells += [f"{number(each.base)} {arrow} {number(each.candidate)}" if each else "", _ratio(each)]
    return tuple(cells)


def _error(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _ratio(change: NumberChange | None) -> str:
    return "" if change is None or change.ratio is None else f"x{change.ratio:.2f}"


def _moved(change: CellChange, memory: CellMemory | None) -> float:
    """The largest factor by which a number moved, either way, as a logarithm; 0 where none moved notably."""
    return max((_distance(each, memory) for each in change.numbers), default=0.0)


def _distance(change: NumberChange, memory: CellMemory | None) -> float:
    level = change.magnitude is Magnitude.NONE
    if change.quantity is Quantity.LATENCY:
        level = True
    elif change.quantity is Quantity.MEMORY:
        level = memory is None or not memory.own_mb
    elif change.quantity is Quantity.ERROR:
        level = change.candidate <= max(ROUNDING, GREW * change.base)
    if level:
        return 0.0
    return abs(math.log(change.ratio)) if change.ratio else math.inf
