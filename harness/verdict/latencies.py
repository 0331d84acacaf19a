"""Latencies that moved together, by runtime or strategy. None of it is evidence: it says where to look with a duel.

Two runs differ in what else the machine did, which moves whole runtimes at once. So no ratio of two tables, however
large, decides anything or stands at the head of a report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from harness.verdict.together import Group, Pair, runtimes, strategies, tells

LEAST_FACTOR = 1.05
"""A median ratio of less, either way, is not told."""

ONE_WAY = 0.75
"""The share of cells that have to move one way for a group to move together."""

FAR_FACTOR = 1.2
"""From what ratio, either way, a single cell is counted."""


@dataclass(frozen=True, kw_only=True)
class LatencyShift:
    """Candidate over base of a group's cells: the middle, and the quartiles between which half of them lie."""

    group: Group
    cells: int
    ratio: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class LatencyChanges:
    """What the latencies of `cells` cells did: the groups that moved together, and how many moved far, either way."""

    cells: int = 0
    slower: int = 0
    faster: int = 0
    together: tuple[LatencyShift, ...] = ()


def latency_changes(pairs: Sequence[Pair]) -> LatencyChanges:
    """What the latencies of cells that passed on both sides did; both runs were on one machine, with equal threads."""
    ratios = {before.cell: ratio for before, after in pairs if (ratio := _ratio((before, after)))}
    measured = [pair for pair in pairs if pair[0].cell in ratios]
    found = []
    for group, cells in runtimes(measured).items():
        if shift := _together(group, cells, ratios):
            found.append(shift)
            continue
        parts = strategies(group, cells).items()
        found += [shift for part, own in parts if (shift := _together(part, own, ratios))]
    return LatencyChanges(
        cells=len(measured),
        slower=sum(ratio >= FAR_FACTOR for ratio in ratios.values()),
        faster=sum(ratio <= 1 / FAR_FACTOR for ratio in ratios.values()),
        together=tuple(found),
    )


def _ratio(pair: Pair) -> float | None:
    before, after = (record.latency_ms for record in pair)
    if before is None or after is None or not (before > 0 and after > 0 and math.isfinite(before + after)):
        return None
    return after / before


def _together(group: Group, cells: Sequence[Pair], ratios: dict[tuple[str, str, str], float]) -> LatencyShift | None:
    if not tells(cells):
        return None
    logs = [math.log(ratios[before.cell]) for before, _ in cells]
    middle = median(logs)
    if abs(middle) < math.log(LEAST_FACTOR) or sum(log * middle > 0 for log in logs) < ONE_WAY * len(logs):
        return None
    low, _, high = quantiles(logs, n=4, method="inclusive")
    return LatencyShift(group=group, cells=len(cells), ratio=math.exp(middle), low=math.exp(low), high=math.exp(high))
