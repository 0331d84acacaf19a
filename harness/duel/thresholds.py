"""What a machine's own duels of a combination against itself (A/A) teach: the least difference that is to be believed.

A test knows the noise between pairs, since it sees it. It does not see what all pairs of a duel have in common though
both sides are alike: an artifact that was converted twice lies otherwise in memory, one folder's name is longer. That
is what a cell's own threshold stands for, on one machine (CPU model, cores, memory).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.duel.statistics import interval

UNMEASURED = 0.02
"""The threshold of a cell that was never held against itself on this machine, as a share."""
LEAST = 0.01
"""No threshold is below this, however quiet the machine was: a difference within 1 % is nobody's reason to act."""
MOST = 0.10
"""Equal within more than this is no answer that a cell's threshold alone can give: such a cell cannot be timed here."""

_ERROR = 0.05


def threshold_of(aa_differences: Sequence[Sequence[float]]) -> float:
    """A cell's own threshold on one machine, as a share, from its duels against itself: the differences of each.

    The farthest end of the 90 % interval of each duel, the largest of them: what A/A does not exclude is not believed
    of A/B. Duels are not pooled, since what a duel's pairs have in common varies from one to the next. Those of too
    few pairs for an interval do not count; without any other one it is `UNMEASURED`.
    """
    ends = [np.abs(interval(differences, _ERROR)) for differences in aa_differences if len(differences)]
    known = [float(max(pair)) for pair in ends if np.all(np.isfinite(pair))]
    return max(LEAST, math.expm1(max(known))) if known else UNMEASURED


def bound_of(*, threshold: float = UNMEASURED, limit: float | None = None) -> float:
    """By what share a cell has to be slower to be called so.

    The cell's own threshold; the limit of a gate policy (y % as a share) where that is more. A limit below the
    threshold cannot be held on this machine, and the threshold is what counts.
    """
    return threshold if limit is None else max(threshold, limit)


@dataclass(frozen=True, kw_only=True)
class AlarmRate:
    """How many of the cells that were held against themselves gave a false alarm, slower or faster.

    `cells` are those that came to their end, decided or after all pairs: one that looked moved would have gone on to
    looks at which an alarm can be raised among so many cells, and one that was cut off could not. `at_most` is the
    share of such cells that the true rate does not exceed, with a confidence of 95 % (Clopper and Pearson).
    """

    alarms: int
    cells: int
    at_most: float


def alarm_rate(alarms: int, cells: int) -> AlarmRate:
    """The false-alarm rate that was measured; without cells it is anything up to 1."""
    if not cells:
        return AlarmRate(alarms=0, cells=0, at_most=1.0)
    from scipy.stats import binomtest  # takes half a second to import

    bounds = binomtest(alarms, cells, alternative="less").proportion_ci(confidence_level=0.95, method="exact")
    return AlarmRate(alarms=alarms, cells=cells, at_most=float(bounds.high))
