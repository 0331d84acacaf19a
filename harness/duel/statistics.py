"""A signed-rank test of the differences of a cell's pairs, its estimate and its interval.

A difference is `ln(B / A)` of one pair. Two sides that are alike are exchangeable within a pair, and a side that is
slower by a factor moves every difference by its logarithm, so differences lie symmetrically about the logarithm of the
true ratio, whatever the noise: that is all that the test asks for. Its p values are exact, for any distribution.

The test is Wilcoxon's with winsorised ranks: those above two fifths of the number of pairs count as that (Policello
and Hettmansperger, Adaptive robust procedures for the one-sample location problem, JASA 71, 1976). It stands between
Wilcoxon's, which a few slowed launches blind, and the sign test, which asks for half as many pairs again where noise
is Gaussian. Estimate and interval are those of the same test turned round (Hodges and Lehmann, 1963; Bauer,
Constructing confidence sets using rank statistics, JASA 67, 1972), so that they never contradict it: a bound is
rejected just where the interval of the same level leaves it out.

Arrays may have any number of dimensions before the last one, which is that of the pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]


def _scores(pairs: int) -> Counts:
    """What each rank counts for, from the smallest difference to the largest. Shape: `(pairs,)`."""
    return np.minimum(np.arange(1, pairs + 1), -(-2 * pairs // 5))


@lru_cache(maxsize=64)
def _tail(pairs: int) -> Floats:
    """P(S >= s) of the sum S of the scores of positive differences, which are symmetric about 0, for s from 0 up.

    Shape: (largest sum + 2,), the last one being 0. Built score by score: each is in S with probability 1/2.
    """
    probabilities = np.ones(1)
    for score in _scores(pairs):
        longer = np.zeros(probabilities.size + score)
        longer[: probabilities.size] = probabilities / 2
        longer[score:] += probabilities / 2
        probabilities = longer
    # Summed from the far end, where the terms are smallest.
    return np.append(np.minimum(np.cumsum(probabilities[::-1])[::-1], 1.0), 0.0)


def _sum_above(differences: Floats, bounds: Floats) -> Counts:
    """The sum of the scores of those differences that are above the bound. `(..., n)` and `(...)` become `(...)`.

    What lies at the bound counts against it, and among equally distant ones those above get the lower ranks: ties make
    the test more careful, never less.
    """
    distances = differences - bounds[..., np.newaxis]
    above = distances > 0
    order = np.lexsort((~above, np.abs(distances)), axis=-1)
    return np.asarray((np.take_along_axis(above, order, axis=-1) * _scores(differences.shape[-1])).sum(axis=-1))


def p_above(differences: ArrayLike, bound: float) -> Floats:
    """The p value of "the centre is above `bound`", against "at the bound or below". `(..., n)` becomes `(...)`."""
    values = np.asarray(differences, dtype=np.float64)
    return _tail(values.shape[-1])[_sum_above(values, np.full(values.shape[:-1], bound))]


def p_below(differences: ArrayLike, bound: float) -> Floats:
    """The p value of "the centre is below `bound`", against "at the bound or above". `(..., n)` becomes `(...)`."""
    return p_above(-np.asarray(differences, dtype=np.float64), -bound)


def centre(differences: ArrayLike) -> Floats:
    """The bound as little rejected from below as from above, the test's own estimate. `(..., n)` becomes `(...)`."""
    values = np.asarray(differences, dtype=np.float64)
    half = _scores(values.shape[-1]).sum() / 2
    return (_edge(values, lambda sums: sums > half) - _edge(-values, lambda sums: sums > half)) / 2


def interval(differences: ArrayLike, error: float) -> tuple[Floats, Floats]:
    """The bounds up to which, and from which, the test rejects at level `error` each. `(..., n)` becomes two `(...)`.

    It holds the centre with a probability of at least `1 - 2 * error`, whatever the distribution. It is infinite where
    so few pairs reject no bound at all: fewer than `-log2(error)` of them.
    """
    values = np.asarray(differences, dtype=np.float64)
    tail = _tail(values.shape[-1])
    return (
        _edge(values, lambda sums: tail[sums] <= error),
        -_edge(-values, lambda sums: tail[sums] <= error),
    )


def _edge(differences: Floats, far: Callable[[Counts], NDArray[np.bool_]]) -> Floats:
    """The largest bound below which `far` holds of the sum of scores, which falls while the bound rises.

    Minus infinity where it holds nowhere. The sum changes only at averages of two differences (Walsh averages), so the
    bound is one of them, and is found among them by halving.
    """
    first, second = np.triu_indices(differences.shape[-1])
    averages = np.sort((differences[..., first] + differences[..., second]) / 2, axis=-1)
    gaps = averages.shape[-1]
    # In gap 0, below all averages, every difference is above the bound. Gap k lies between averages k - 1 and k.
    low = np.zeros(differences.shape[:-1], dtype=np.intp)
    high = np.full(differences.shape[:-1], gaps, dtype=np.intp)
    while np.any(high - low > 1):
        middle = (low + high) // 2
        left = np.take_along_axis(averages, np.maximum(middle - 1, 0)[..., np.newaxis], axis=-1)[..., 0]
        right = np.take_along_axis(averages, middle[..., np.newaxis], axis=-1)[..., 0]
        holds = far(_sum_above(differences, (left + right) / 2))
        low = np.where(holds, middle, low)
        high = np.where(holds, high, middle)
    edge = np.take_along_axis(averages, low[..., np.newaxis], axis=-1)[..., 0]
    everything = np.full(low.shape, _scores(differences.shape[-1]).sum())
    return np.where(far(everything), edge, -np.inf)
