"""One number of one pair: how the two processes compare that took turns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

_SD_OF_MAD = 1.4826
"""The standard deviation of Gaussian noise by its median absolute deviation."""
_MEDIAN_FOR_MEAN = 1.2533
"""By how much the median of Gaussian values varies more than their mean: the root of pi / 2."""


@dataclass(frozen=True, kw_only=True)
class PairDifference:
    """`difference` is ln(B / A) of a pair, `noise` the standard deviation that its own blocks let one expect of it.

    The noise is of turns alone. How processes of one side differ, only further pairs tell.
    """

    difference: float
    noise: float


def pair_difference(turns_a: Sequence[float], turns_b: Sequence[float]) -> PairDifference:
    """The difference of a pair from the medians of its turns, in seconds, in the order of time.

    Turns make blocks: the first of A and the first of B, in either order, then the second ones. The difference is the
    median over blocks of each one's ln(B / A). What drifts or goes by levels is nearly the same in the two turns of a
    block, and cancels; a slowed turn spoils one block, which the median passes over. Raises `ValueError` where the
    sides have not the same number of turns, have none, or a turn took no time.
    """
    if len(turns_a) != len(turns_b) or not turns_a:
        msg = f"a pair needs as many turns of A as of B, and at least one: there are {len(turns_a)} and {len(turns_b)}"
        raise ValueError(msg)
    if not all(math.isfinite(turn) and turn > 0 for turn in (*turns_a, *turns_b)):
        msg = "a turn of a pair took no time, or an unknown one: turns are positive, finite seconds"
        raise ValueError(msg)
    blocks = [math.log(b / a) for a, b in zip(turns_a, turns_b, strict=True)]
    difference = median(blocks)
    deviation = _SD_OF_MAD * median(abs(block - difference) for block in blocks)
    return PairDifference(difference=difference, noise=_MEDIAN_FOR_MEAN * deviation / math.sqrt(len(blocks)))
