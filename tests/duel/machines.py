"""Machines that a duel may run on, simulated: the differences of pairs whose true ratio is 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.duel.statistics import Floats

Machine = Callable[[np.random.Generator, tuple[int, int]], Floats]
"""Differences ln(B / A) of a shape, (cells, pairs)."""


def gaussian(deviation: float) -> Machine:
    """Noise of one standard deviation."""
    return lambda random, shape: random.normal(0.0, deviation, shape)


def slowed(deviation: float) -> Machine:
    """One launch in ten is slowed by x1.2 to x3, on either side."""

    def side(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
        slow = np.where(random.random(shape) < 0.1, random.uniform(1.2, 3.0, shape), 1.0)
        return np.asarray(np.log(slow) + random.normal(0.0, deviation / np.sqrt(2), shape))

    return lambda random, shape: side(random, shape) - side(random, shape)


def bimodal(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """A launch is of one of two kinds, by chance, the one 8 % slower; 1 % of noise."""
    kinds = (random.random(shape) < 0.5).astype(float) - (random.random(shape) < 0.5)
    return np.asarray(np.log(1.08) * kinds + random.normal(0.0, 0.01, shape))


def drifting(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Whichever side comes second is 3 % slower, and the order is random; 2 % of noise."""
    return np.asarray(0.03 * random.choice([-1.0, 1.0], shape) + random.normal(0.0, 0.02, shape))


def busy(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Half of the cells with a busy loop beside them: noise as measured, 0.7 to 2.8 %, for every tenth of those 6 %."""
    cells = shape[0]
    beside = np.where(random.random(cells) < 0.1, 0.06, random.choice([0.007, 0.009, 0.028], cells))
    deviations = np.where(random.random(cells) < 0.5, beside, 0.007)
    return np.asarray(random.normal(0.0, 1.0, shape) * deviations[:, np.newaxis])


MACHINES: dict[str, Machine] = {
    "1 % noise": gaussian(0.01),
    "3 % noise": gaussian(0.03),
    "6 % noise": gaussian(0.06),
    "10 % noise": gaussian(0.10),
    "1 %, a launch in ten slowed": slowed(0.01),
    "3 %, a launch in ten slowed": slowed(0.03),
    "two kinds of launches, 8 % apart": bimodal,
    "drift of 3 %": drifting,
    "half of the cells busy": busy,
}
