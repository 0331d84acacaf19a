"""The design of a duel, and p values that hold whenever it stops.

Pairs are weighed at fixed looks, when there are so many of them. An error that is allowed once is spent over them by
Kim and DeMets' power family (Design and analysis of group sequential tests based on the type I error spending rate
function, Biometrika 74, 1987): up to a share t of the last look's pairs, `t ** spending` of it. Below 1, the exponent
spends early. A look's own share of the error is its weight; a p value divided by the weight, the smallest so far, is a
p value that holds at whichever look one stops, and for whatever reason, since the weights sum to 1 (the sequential p
value of Liu and Anderson, On adaptive extensions of group sequential trials, JASA 103, 2008, by the union bound).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from harness.bench.errors import UsageError
from harness.duel.statistics import Floats, p_above, p_below


@dataclass(frozen=True, kw_only=True)
class Design:
    """How a duel is decided.

    `looks` are the numbers of pairs at which it is, `spending` the exponent by which `error` is spent over them.
    `error` is the share of false ones among the cells called slower (and among those called faster), and the
    probability of calling a cell equal that is not. `equal_within` is a share: 0.05 is within 5 %. Raises `UsageError`
    where looks do not rise, or the first one can prove nothing.
    """

    looks: tuple[int, ...] = (6, 12, 24, 48)
    spending: float = 0.5
    error: float = 0.05
    equal_within: float = 0.05

    def __post_init__(self) -> None:
        if not self.looks or self.looks[0] < 1 or any(later <= look for look, later in pairwise(self.looks)):
            msg = f"the looks of a duel are rising numbers of pairs, such as 6, 12, 24, 48, and not {self.looks}"
            raise UsageError(msg)
        if not (0 < self.error < 1 and self.spending > 0 and self.equal_within > 0):
            msg = "the error of a duel is between 0 and 1, and its spending and what counts as equal are above 0"
            raise UsageError(msg)
        if 2.0 ** -self.looks[0] > self.error * self.weights[0]:
            msg = (
                f"{self.looks[0]} pairs prove nothing at the error that the first look may spend, "
                f"{self.error * self.weights[0]:.2g}: take more pairs for it, or a smaller exponent of spending"
            )
            raise UsageError(msg)

    @property
    def weights(self) -> tuple[float, ...]:
        """The share of the error that each look spends; they sum to 1."""
        spent = [0.0, *((look / self.looks[-1]) ** self.spending for look in self.looks)]
        return tuple(after - before for before, after in pairwise(spent))

    def reached(self, pairs: int) -> int:
        """How many of the looks `pairs` pairs are enough for."""
        return sum(look <= pairs for look in self.looks)


@dataclass(frozen=True, kw_only=True)
class PValues:
    """The sequential p values of three claims at each look that was reached. Shape of each: `(..., looks)`.

    `slower` and `faster` are of "by more than the bound", `equal` of "within what counts as equal, either way".
    """

    slower: Floats
    faster: Floats
    equal: Floats


def p_values(differences: ArrayLike, *, design: Design, slower_than: float, equal_within: float) -> PValues:
    """The p values of what may be claimed, look by look. `differences` has the shape `(..., pairs)`.

    `slower_than` and `equal_within` are shares. Their bounds lie as far below 0 as above it in logarithms, so that A
    against B says the opposite of B against A. That it is equal is two one-sided tests, each at the full error
    (Schuirmann, 1987): both bounds cannot be wrong at once. Pairs beyond a look count at the next one.
    """
    values = np.asarray(differences, dtype=np.float64)
    bound, within = np.log1p(slower_than), np.log1p(equal_within)
    looks = [
        (weight, values[..., :look])
        for look, weight in zip(design.looks, design.weights, strict=True)
        if look <= values.shape[-1]
    ]
    shape = (*values.shape[:-1], len(looks))
    slower, faster, equal = np.ones(shape), np.ones(shape), np.ones(shape)
    for index, (weight, seen) in enumerate(looks):
        slower[..., index] = p_above(seen, bound) / weight
        faster[..., index] = p_below(seen, -bound) / weight
        equal[..., index] = np.maximum(p_above(seen, -within), p_below(seen, within)) / weight
    return PValues(slower=_smallest_so_far(slower), faster=_smallest_so_far(faster), equal=_smallest_so_far(equal))


def _smallest_so_far(values: Floats) -> Floats:
    return np.minimum(np.minimum.accumulate(values, axis=-1), 1.0)
