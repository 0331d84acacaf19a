"""What the pairs of a duel decide of each of its cells, and which cells go on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from harness.duel.sequential import Design, p_values
from harness.duel.statistics import centre, interval
from harness.duel.thresholds import MOST, UNMEASURED, bound_of


class Decision(Enum):
    """What is said of a cell. B is held against A: slower is B."""

    SLOWER = "slower"
    FASTER = "faster"
    EQUAL = "equal"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class CellDecision:
    """What a duel says of one cell, and what it rests on.

    `effect`, `lower` and `upper` are shares: 0.1 is 10 % slower. The interval holds at whichever look one stops, with a
    probability of at least 1 - 2 x error, and is None before there is one; `effect` is None without a pair. `look` is
    the number of pairs that was weighed last, 0 before the first look. `slower_than` and `equal_within` are the shares
    that it was held against; `limit` is what a gate policy allows it, None without one, and below either of them where
    this machine cannot tell as little: equal says nothing of the limit then. The p values are sequential; `q_slower`
    and `q_faster` are adjusted for the number of cells, and at most the design's error where the cell is called so.
    `next_look` is how many pairs it needs to be weighed again, None where it is done; `reason` says of an inconclusive
    one why it is.
    """

    decision: Decision
    effect: float | None
    lower: float | None
    upper: float | None
    pairs: int
    look: int
    slower_than: float
    equal_within: float
    p_slower: float
    p_faster: float
    p_equal: float
    q_slower: float
    q_faster: float
    next_look: int | None
    reason: str
    limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class Contest:
    """All cells of a duel as they stand. `going_on` has those that take more pairs, the most urgent first.

    Cells that look slower come first, by their p value, so that a budget is spent on what may be an alarm; then the
    rest, those that are nearest to being proved equal first. `cut` has those that would go on, where no more pairs are
    taken; all others have come to their end.
    """

    cells: Mapping[str, CellDecision]
    going_on: tuple[str, ...]
    cut: tuple[str, ...] = ()

    def affordable(self, *, left: float, cost: Mapping[str, float]) -> tuple[str, ...]:
        """Of those that go on, in their order, the ones whose pairs up to the next look fit into what is left.

        `left` and `cost`, of one pair of a cell, are both in seconds, or in pairs with 1 for each cell.
        """
        chosen = []
        for name in self.going_on:
            cell = self.cells[name]
            needed = ((cell.next_look or cell.pairs) - cell.pairs) * cost[name]
            if needed <= left:
                chosen.append(name)
                left -= needed
        return tuple(chosen)


def decide(
    differences: Mapping[str, Sequence[float]],
    *,
    thresholds: Mapping[str, float] | None = None,
    limits: Mapping[str, float] | None = None,
    design: Design | None = None,
    ended: str = "",
) -> Contest:
    """What the differences of each cell's pairs so far decide, in the order in which they were taken.

    Every cell of the duel is named from the beginning, with no differences where it has none yet: the number of cells
    is what false discoveries are counted over. `thresholds` are those of this machine, `UNMEASURED` for a cell that is
    not named, and `limits` those of a gate policy for cells that have one, all as shares; `bound_of` makes of both by
    how much a cell has to be slower or faster to be called so. `ended` is why no more pairs are taken, such as "the
    budget of 20 minutes was spent": what is undecided then is inconclusive for that reason.

    A cell is slower where its sequential p value stands up to Benjamini and Hochberg's step at the design's error over
    all cells, faster likewise, and equal where its own p value is at most that error. Slower and faster come before
    equal where both hold. Since they ask for more pairs than equal does, the more so the more cells there are, a cell
    whose estimate lies beyond its bound goes on though it is proved to be equal: only after all pairs is it called so.
    Equal never means within less than that bound: of ratios between the two nothing could be said, however many
    pairs. Nor does it mean within more than `MOST`, unless that was asked for: a cell that differs from itself by more
    can be told to be slower, and is inconclusive where it is not.

    What is guaranteed: of the cells that are called slower, the share that is not (by more than its bound) is at most
    the error, on average over duels, if cells are independent and no budget cuts them short. Cells stop at different
    looks, and a sequential p value bounds the error at any of them; one that has stopped keeps its p value, and p
    values only fall, so that no call of slower is ever taken back, and the last step is one over all cells. The proof
    of that step goes through, since the same cells would be called had the p value of one of them been 0 from the
    start. A budget lets the number of pairs of a cell depend on the others, for which there is no proof; each cell's
    own p value holds even then. Where both sides are the same, the probability that any cell is called slower is at
    most the error, and so is that of faster: that of any false alarm is at most twice the error.

    Raises `ValueError` where a difference is not finite.
    """
    rules = design or Design()
    known, allowed = thresholds or {}, limits or {}
    weighed = {
        name: _weighed(values, known.get(name, UNMEASURED), allowed.get(name), design=rules, name=name)
        for name, values in differences.items()
    }
    slower = _adjusted([cell.p_slower for cell in weighed.values()])
    faster = _adjusted([cell.p_faster for cell in weighed.values()])
    cells = {
        name: _decided(replace(cell, q_slower=q_slower, q_faster=q_faster), design=rules)
        for (name, cell), q_slower, q_faster in zip(weighed.items(), slower, faster, strict=True)
    }
    going_on = sorted((name for name, cell in cells.items() if cell.next_look), key=lambda name: _urgency(cells[name]))
    if not ended:
        return Contest(cells=cells, going_on=tuple(going_on))
    stopped = {name: _cut_short(cells[name], design=rules, ended=ended) for name in going_on}
    return Contest(cells={**cells, **stopped}, going_on=(), cut=tuple(going_on))


def _weighed(
    differences: Sequence[float], threshold: float, limit: float | None, *, design: Design, name: str
) -> CellDecision:
    """A cell by its own pairs alone: nothing is called yet."""
    if not all(map(math.isfinite, differences)):
        msg = f"a pair of {name} has no finite difference: leave out pairs in which a side was not timed"
        raise ValueError(msg)
    reached = design.reached(len(differences))
    look = design.looks[reached - 1] if reached else 0
    slower_than = bound_of(threshold=threshold, limit=limit)
    equal_within = max(design.equal_within, slower_than)
    found = p_values(differences, design=design, slower_than=slower_than, equal_within=equal_within)
    # Before the first look the estimate is of what there is; later, of just what was weighed.
    seen = differences[: look or len(differences)]
    weight = design.weights[reached - 1]
    lower, upper = interval(seen, design.error * weight) if look else (-np.inf, np.inf)
    return CellDecision(
        decision=Decision.INCONCLUSIVE,
        effect=_share(centre(seen)) if seen else None,
        lower=_share(lower),
        upper=_share(upper),
        pairs=len(differences),
        look=look,
        slower_than=slower_than,
        equal_within=equal_within,
        p_slower=float(found.slower[-1]) if look else 1.0,
        p_faster=float(found.faster[-1]) if look else 1.0,
        p_equal=float(found.equal[-1]) if look else 1.0,
        q_slower=1.0,
        q_faster=1.0,
        next_look=design.looks[reached] if reached < len(design.looks) else None,
        reason="",
        limit=limit,
    )


def _decided(cell: CellDecision, *, design: Design) -> CellDecision:
    """The cell with what its p values, adjusted ones among them, come to."""
    last = design.looks[-1]
    if cell.q_slower <= design.error:
        return replace(cell, decision=Decision.SLOWER, next_look=None)
    if cell.q_faster <= design.error:
        return replace(cell, decision=Decision.FASTER, next_look=None)
    if cell.p_equal <= design.error and (cell.next_look is None or not _looks_moved(cell)):
        if cell.equal_within <= max(design.equal_within, cell.limit or 0.0, MOST):
            return replace(cell, decision=Decision.EQUAL, next_look=None)
        reason = f"within {100 * cell.equal_within:.3g} %, by as much as it differs from itself on this machine"
        return replace(cell, next_look=None, reason=reason)
    if cell.next_look is None:
        return replace(cell, reason=f"undecided after all {last} pairs")
    return replace(cell, reason=f"undecided after {cell.pairs} of {last} pairs")


def _cut_short(cell: CellDecision, *, design: Design, ended: str) -> CellDecision:
    """A cell that would go on, and for which there are no more pairs."""
    reason = f"{ended} after {cell.pairs} of {design.looks[-1]} pairs"
    if cell.p_equal <= design.error:
        reason += f": within {100 * cell.equal_within:.3g} %, and maybe beyond {100 * cell.slower_than:.3g} %"
    return replace(cell, next_look=None, reason=reason)


def _looks_moved(cell: CellDecision) -> bool:
    """Whether the estimate lies beyond the cell's bound, above it or below."""
    return cell.effect is not None and abs(math.log1p(cell.effect)) > math.log1p(cell.slower_than)


def _share(logarithm: NDArray[np.float64] | float) -> float | None:
    """A difference as a share of A, None where it is not finite."""
    return math.expm1(logarithm) if np.isfinite(logarithm) else None


def _adjusted(values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's, in the order given."""
    # scipy.stats takes half a second to import, which `harness --help` has no use for.
    from scipy.stats import false_discovery_control

    return [float(value) for value in false_discovery_control(values, method="bh")] if values else []


def _urgency(cell: CellDecision) -> tuple[bool, float]:
    """What a cell that goes on is sorted by; less is more urgent."""
    looks_slower = cell.effect is not None and cell.effect > cell.slower_than
    return (not looks_slower, cell.p_slower if looks_slower else cell.p_equal)
