"""The rule for memory, which varies little between launches: a few of them tell, without a test.

Three launches a side cannot give a small p value, whatever they show. So a shift is found by size: it has to be larger
than what steps of an allocator make, than what launches of one side differ by, and to part the sides. Which shifts of
many cells are one and the same is told by `harness.verdict.shifts`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

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
    a_mb, b_mb = median(launches_a), median(launches_b)
    (a_low, a_high), (b_low, b_high) = ends(launches_a), ends(launches_b)
    least_mb = max(LEAST_MB, LEAST_SHARE * min(a_mb, b_mb))
    needed_mb = max(least_mb, a_high - a_low, b_high - b_low, noise_mb or 0.0)
    found = (b_low > a_high or a_low > b_high) and abs(b_mb - a_mb) > needed_mb
    return MemoryShift(a_mb=a_mb, b_mb=b_mb, needed_mb=needed_mb, least_mb=least_mb, found=found)


def ends(launches: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest launch that count."""
    ordered, odd = sorted(launches), len(launches) // 6
    return ordered[odd], ordered[-1 - odd]
