"""Numbers of a cell that passes on both sides: how much they moved, which way, and whether that is evidence.

Three questions, three types. `Magnitude` is how far a number moved, `Direction` which way, `Significance` whether the
move is more than chance. None of them decides a verdict: of memory `harness.verdict.shifts` says what was found, and
two runs are no evidence of latency.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from harness.bench.record import Record
from harness.verdict.seen import Row


class Quantity(Enum):
    """What is compared. Less is better for each of them."""

    LATENCY = "latency"
    MEMORY = "peak memory"
    SIZE = "artifact size"
    ERROR = "relative error"

    @property
    def unit(self) -> str:
        """The unit of both values; empty for a plain number."""
        return {Quantity.LATENCY: "ms", Quantity.MEMORY: "MiB", Quantity.SIZE: "B", Quantity.ERROR: ""}[self]

    @property
    def of_machine(self) -> bool:
        """Whether it means something only between two runs on one machine."""
        return self in (Quantity.LATENCY, Quantity.MEMORY)


class Direction(Enum):
    """Which way a number moved."""

    BETTER = "better"
    LEVEL = "level"
    WORSE = "worse"


class Magnitude(Enum):
    """How far a number moved, either way: below 1 %, 5 %, 20 %, or more."""

    NONE = "none"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


class Significance(Enum):
    """Whether a move is more than chance."""

    SIGNIFICANT = "significant"
    NOT_SIGNIFICANT = "not significant"
    UNDETERMINED = "undetermined"


_BOUNDS = ((1.01, Magnitude.NONE), (1.05, Magnitude.SMALL), (1.20, Magnitude.MEDIUM))


@dataclass(frozen=True, kw_only=True)
class NumberChange:
    """One quantity of one cell on both sides, in the quantity's unit."""

    quantity: Quantity
    base: float
    candidate: float

    @property
    def ratio(self) -> float | None:
        """Candidate over base; None where the base is 0 or either is not finite."""
        if not self.base > 0 or not math.isfinite(self.base) or not math.isfinite(self.candidate):
            return None
        return self.candidate / self.base

    @property
    def direction(self) -> Direction:
        """Which way it moved; level where it did not, or cannot be told."""
        if self.candidate > self.base:
            return Direction.WORSE
        return Direction.BETTER if self.candidate < self.base else Direction.LEVEL

    @property
    def magnitude(self) -> Magnitude:
        """How far it moved, as a factor; large where a factor cannot be told."""
        if self.base == self.candidate:
            return Magnitude.NONE
        if self.ratio is None or self.ratio <= 0:
            return Magnitude.LARGE
        factor = max(self.ratio, 1 / self.ratio)
        return next((magnitude for bound, magnitude in _BOUNDS if factor < bound), Magnitude.LARGE)

    @property
    def significance(self) -> Significance:
        """Whether the move is more than chance.

        The size of an artifact does not vary between runs. A relative error is below its cell's tolerance on both
        sides, or the cell had not passed. Latency and memory vary from launch to launch, and two figures cannot tell.
        """
        if self.quantity is Quantity.SIZE:
            return Significance.NOT_SIGNIFICANT if self.base == self.candidate else Significance.SIGNIFICANT
        return Significance.NOT_SIGNIFICANT if self.quantity is Quantity.ERROR else Significance.UNDETERMINED


GREW = 10.0
"""A relative error moves by orders and means little as long as it is of the size of rounding: it counts where it rose
by more than this factor, to more than `ROUNDING`."""
ROUNDING = 1e-6


def error_grew(base: Row, candidate: Row) -> bool:
    """Whether the relative error of the example or of the probes rose tenfold, beyond rounding."""
    pairs = (
        (base.relative_error, candidate.relative_error),
        (base.probes_relative_error, candidate.probes_relative_error),
    )
    return any(
        before is not None and after is not None and after > max(ROUNDING, GREW * before) for before, after in pairs
    )


def number_changes(base: Record, candidate: Record, *, same_machine: bool) -> tuple[NumberChange, ...]:
    """What both records measured.

    Latency and memory only where both runs were on one machine with equal threads, memory only of one source.
    """
    columns = {
        Quantity.LATENCY: (base.latency_ms, candidate.latency_ms),
        Quantity.MEMORY: (base.rss_peak_mb, candidate.rss_peak_mb),
        Quantity.SIZE: (base.artifact_bytes, candidate.artifact_bytes),
        Quantity.ERROR: (base.relative_error, candidate.relative_error),
    }
    return tuple(
        NumberChange(quantity=quantity, base=before, candidate=after)
        for quantity, (before, after) in columns.items()
        if before is not None
        and after is not None
        and (same_machine or not quantity.of_machine)
        and (quantity is not Quantity.MEMORY or base.rss_source == candidate.rss_source)
    )
