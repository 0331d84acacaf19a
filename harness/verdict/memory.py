"""The rule for memory, which varies little between launches: a few of them tell, without a test.

Three launches a side cannot give a small p value, whatever they show. So a shift is found by size: it has to be larger
than what steps of an allocator make, than what launches of one side differ by, and to part the sides. Which shifts of
many cells are one and the same is told by `harness.verdict.shifts`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.tables.launches import FEWEST_LAUNCHES

LEAST_MB = 5.0
LEAST_SHARE = 0.04
"""A shift of less than 5 MiB, or 4 % of the smaller side, is none: allocators take memory in steps of this size."""


@dataclass(frozen=True, kw_only=True)
class MemoryShift:
    """What launches of both sides say of their memory, in MiB; `share` is of A: 0.15 is 15 % more.

    `needed_mb` is what the difference of the medians had to exceed, and `least_mb` what of that no number of launches
    makes less. `found` says that it did, and that the sides do not overlap.
    """

    a_mb: float
    b_mb: float
    needed_mb: float
    least_mb: float
    found: bool

    @property
    def difference_mb(self) -> float:
        """B less A."""
        return self.b_mb - self.a_mb

    @property
    def share(self) -> float:
        """The difference as a share of A."""
        return self.difference_mb / self.a_mb


def memory_shift(
    launches_a: Sequence[float], launches_b: Sequence[float], *, noise_mb: float | None = None
) -> MemoryShift:
    """Whether memory moved between two sides, by the MiB of each launch.

    The difference of the medians has to exceed `LEAST_MB`, `LEAST_SHARE` of the smaller side, the range of either
    side's launches, and `noise_mb`: what the cell's launches differed by against themselves, where that is known. And
    all launches of one side have to lie above all of the other. Of each six launches of a side the smallest and the
    largest are passed over in both, so that one odd launch of many neither makes a shift nor hides one.
    Fewer than `FEWEST_LAUNCHES` tell nothing of what they vary by: then `noise_mb` has to be given.
    Raises `ValueError` where it is not, where a side has no launch, and where one is not above 0.
    """
    fewest = min(len(launches_a), len(launches_b))
    if fewest < (FEWEST_LAUNCHES if noise_mb is None else 1):
        msg = f"memory needs three launches a side at least: there are {len(launches_a)} and {len(launches_b)}"
        raise ValueError(msg)
    if not all(math.isfinite(launch) and launch > 0 for launch in (*launches_a, *launches_b)):
        msg = "the memory of a launch is not known: leave out those that were not measured"
        raise ValueError(msg)
    return shift_of(Launched.of(launches_a), Launched.of(launches_b), noise_mb=noise_mb or 0.0)


class Launched(NamedTuple):
    """What counts of one side's launches, in MiB: the ends, and the two in the middle, which of an odd number are one.

    Of each six launches the smallest and the largest are no end.
    """

    low: float
    lower: float
    upper: float
    high: float

    @classmethod
    def of(cls, launches: Sequence[float]) -> Launched:
        """What counts of one launch or more."""
        ordered, odd, count = sorted(launches), len(launches) // 6, len(launches)
        return cls(ordered[odd], ordered[(count - 1) // 2], ordered[count // 2], ordered[-1 - odd])

    @property
    def median(self) -> float:
        """The median of all launches."""
        return (self.lower + self.upper) / 2

    def more(self, by_mb: float) -> Launched:
        """The same of launches that all took so much more."""
        return Launched(*(each + by_mb for each in self)) if by_mb else self


def shift_of(a: Launched, b: Launched, *, noise_mb: float) -> MemoryShift:
    """The rule of `memory_shift`, by what counts of launches that are known."""
    a_mb, b_mb = a.median, b.median
    least_mb = max(LEAST_MB, LEAST_SHARE * min(a_mb, b_mb))
    needed_mb = max(least_mb, a.high - a.low, b.high - b.low, noise_mb)
    found = (b.low > a.high or a.low > b.high) and abs(b_mb - a_mb) > needed_mb
    return MemoryShift(a_mb=a_mb, b_mb=b_mb, needed_mb=needed_mb, least_mb=least_mb, found=found)
