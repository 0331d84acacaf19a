"""The latencies that a verdict rests on: what a duel said of each cell."""

from __future__ import annotations

from typing import Any

from harness.duel.deciding import Decision
from harness.duel.thresholds import UNMEASURED
from harness.report.duel import cell_values, in_order, row
from harness.report.next_steps import options_of
from harness.report.outlets.told import LatencyCellTold, LatencyTold, UntimedTold
from harness.tables.schema import Run
from harness.verdict.comparison import count_of, listed
from harness.verdict.duelled import Cell, Duelled
from harness.verdict.gate import Verdict

DUELLED_TITLE = "Latency, by a duel"
DUELLED_HEADER = ("cell", "candidate is", "effect", "interval", "pairs")


def duelled_rows(duelled: Duelled) -> list[tuple[str, ...]]:
    """The cells that are not equal and have a pair, under `DUELLED_HEADER`, the slower ones first."""
    return [
        row(cell, found)
        for cell in in_order(duelled.cells)
        if (found := duelled.cells[cell]).decision is not Decision.EQUAL and found.pairs
    ]


def duelled_rest(duelled: Duelled, base: Run) -> list[str]:
    """The cells that are equal, by what counted as that, those without a pair, and those of no known threshold.

    Empty where there are none. `base` is the run whose cells they are.
    """
    within: dict[float, list[str]] = {}
    for cell in duelled.of(Decision.EQUAL):
        within.setdefault(round(100 * duelled.cells[cell].equal_within, 1), []).append("/".join(cell))
    said = [
        f"equal within {percent:g} % ({count_of(len(names))}): {listed(names)}."
        for percent, names in sorted(within.items())
    ]
    untimed: dict[str, list[str]] = {}
    without = {cell: found.reason for cell, found in duelled.cells.items() if not found.pairs}
    for cell, reason in {**without, **duelled.untimed}.items():
        untimed.setdefault(reason, []).append("/".join(cell))
    said += [f"not timed ({count_of(len(names))}), {reason}: {listed(names)}." for reason, names in untimed.items()]
    if duelled.unmeasured:
        command = f"{duelled.measuring}{options_of(base)}{' --extensions' if base.extensions else ''}"
        unknown = f"{count_of(len(duelled.unmeasured))} of no known threshold on this machine"
        said.append(f"{unknown}: {100 * UNMEASURED:g} % is taken (`{command}` measures it).")
    return said


def latency_told(verdict: Verdict) -> LatencyTold | None:
    """What a duel told, and what the policy makes of it; None where there was to be no duel."""
    duelled = verdict.duelled
    if duelled is None:
        return None
    failing = {(each.model, each.strategy) for each in verdict.slower}

    def judged(cell: Cell) -> dict[str, Any]:
        limit = verdict.latency.limits.get(cell)
        return {
            "cell": "/".join(cell),
            "limit": None if limit is None else limit / 100,
            "fails": cell in failing,
            "open": cell in verdict.latency.open_cells,
        }

    def decided(cell: Cell) -> LatencyCellTold:
        found = duelled.cells[cell]
        return LatencyCellTold(**{**cell_values(cell, found), "decision": found.decision, **judged(cell)})

    return LatencyTold(
        cells=tuple(map(decided, in_order(duelled.cells))),
        unmeasured=tuple(sorted("/".join(cell) for cell in duelled.unmeasured)),
        untimed=tuple(UntimedTold(**judged(cell), reason=reason) for cell, reason in duelled.untimed.items()),
        none=duelled.none,
        machine=duelled.machine,
        pairs=duelled.pairs,
        seconds=duelled.seconds,
    )
