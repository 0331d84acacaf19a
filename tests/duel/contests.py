"""Whole duels on simulated machines, as a command plays them: pairs are taken, decided on, and taken again."""

from __future__ import annotations

import numpy as np

from harness.duel.deciding import Contest, decide
from harness.duel.sequential import Design
from harness.duel.statistics import Floats


def names(cells: int) -> list[str]:
    return [f"cell-{index}" for index in range(cells)]


def played(
    differences: Floats, *, design: Design | None = None, slower_than: float = 0.02, budget_pairs: float = np.inf
) -> Contest:
    """A duel of cells whose pairs would be `differences`, shape `(cells, last look)`, to its end or its budget's."""
    rows = dict(zip(names(len(differences)), differences.tolist(), strict=True))
    taken = dict.fromkeys(rows, 0)
    thresholds = dict.fromkeys(rows, slower_than)

    def decided(ended: str = "") -> Contest:
        seen = {name: row[: taken[name]] for name, row in rows.items()}
        return decide(seen, thresholds=thresholds, design=design, ended=ended)

    contest = decided()
    while contest.going_on:
        chosen = contest.affordable(left=budget_pairs - sum(taken.values()), cost=dict.fromkeys(rows, 1.0))
        if not chosen:
            return decided(f"the budget of {budget_pairs:g} pairs was spent")
        for name in chosen:
            taken[name] = contest.cells[name].next_look or 0
        contest = decided()
    return contest
