"""Since when a cell's latency or memory is another one: change points of numbers from run to run.

PELT with a Gaussian kernel on log values. The kernel is bounded, so that an odd run weighs no more than any other, and
several odd runs, which are alike only in being odd, make no level of their own. Its width is a multiple of the noise
from run to run, by the median of absolute differences, which a few steps leave as it is.

Outcomes are no numbers, and numbers of two machines are no series: `change_points_by` parts them.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from harness.bench.errors import UsageError
from harness.tables.schema import Gpu, Machine

FEWEST_RUNS = 3
"""The fewest runs on either side of a change: two that are alike are chance."""
NOISE_FLOOR = 0.01
"""Noise is taken for 1 % at least, so that steps of about that size are none, however quiet a series is."""
WIDTH = 1.5
"""Width of the kernel, in standard deviations of the noise."""
PENALTY = (1.6, 0.9)
"""A change has to lower the cost by `1.6 + 0.9 ln(runs)`: above the 99 % quantile of what series of 8 to 120 runs
without a change come to, under noise that is normal, heavy-tailed, skewed, in two states, or of committed launches."""

_NORMAL = 0.954
"""Median of the absolute difference of two draws from a standard normal distribution."""


@dataclass(frozen=True, kw_only=True)
class ChangePoint:
    """The first value of a new level, by its index, and the medians of the levels `before` and `after`."""

    index: int
    before: float
    after: float

    @property
    def share(self) -> float:
        """By how much of the level before it the new one is higher: 0.1 is 10 % more."""
        return self.after / self.before - 1


class Measured(Protocol):
    """What numbers of a run hold for."""

    @property
    def machine(self) -> Machine: ...  # noqa: D102
    @property
    def gpu(self) -> Gpu | None: ...  # noqa: D102
    @property
    def driver(self) -> str | None: ...  # noqa: D102
    @property
    def threads(self) -> int: ...  # noqa: D102


def conditions_of(run: Measured) -> Hashable:
    """What has to be equal for numbers of two runs to be of one series."""
    return (run.machine, run.gpu, run.driver, run.threads)


def not_told() -> str:
    """Why no change points can be told here; empty where they can."""
    if importlib.util.find_spec("ruptures"):
        return ""
    why = "which has no release for Python 3.14 yet" if sys.version_info >= (3, 14) else "`pip install ruptures` has it"
    return f"No change points are told without ruptures: {why}."


def change_points(values: Sequence[float]) -> tuple[ChangePoint, ...]:
    """The change points of a series, the oldest value first, all measured on one machine.

    Where nothing changed, less than 1 series in 100 of 30 has one. A step of 10 % in noise of 2 % is found within one
    run of where it is, once there are six values of the new level, and of 15 values in all. Raises `ValueError` unless
    all are finite and above 0, and `UsageError` where ruptures is not installed.
    """
    if not all(math.isfinite(value) and value > 0 for value in values):
        msg = "only finite values above 0 have change points"
        raise ValueError(msg)
    if len(values) < 2 * FEWEST_RUNS or min(values) == max(values):
        return ()
    if why := not_told():
        raise UsageError(why)
    # Loads scipy, which takes longer than most commands.
    import numpy as np
    from ruptures import KernelCPD

    logs = np.log(np.asarray(values, dtype=float))
    noise = max(float(np.median(np.abs(np.diff(logs)))) / _NORMAL, NOISE_FLOOR)
    least, more = PENALTY
    search = KernelCPD(kernel="rbf", min_size=FEWEST_RUNS, params={"gamma": 1 / (2 * WIDTH**2)})
    ends = search.fit((logs / noise)[:, None]).predict(pen=least + more * math.log(len(values)))
    levels = [float(np.median(values[start:end])) for start, end in zip([0, *ends], ends, strict=False)]
    return tuple(
        ChangePoint(index=index, before=before, after=after)
        for index, before, after in zip(ends[:-1], levels, levels[1:], strict=False)
    )


def change_points_by(values: Sequence[float | None], conditions: Sequence[Hashable]) -> tuple[ChangePoint, ...]:
    """The change points of several series that lie in one sequence; values of equal `conditions` are a series.

    Indices are those of the whole sequence. What was not measured, or cannot have been (0, infinity), is passed over.
    """
    series: dict[Hashable, list[tuple[int, float]]] = {}
    for index, (value, condition) in enumerate(zip(values, conditions, strict=True)):
        if value is not None and math.isfinite(value) and value > 0:
            series.setdefault(condition, []).append((index, value))
    found = [
        replace(each, index=members[each.index][0])
        for members in series.values()
        for each in change_points([value for _, value in members])
    ]
    return tuple(sorted(found, key=lambda each: each.index))
