"""What the sketches of native outputs are for: no change can hide, wherever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.bench.match import DEFAULT_TOLERANCE
from harness.verdict.natives import Movement, compare_natives
from tests.tables.samples import native
from tests.verdict.outputs import Array, holding, of

TRIALS = 1000
WIDTHS = (20, 48, 100)
"""An output of each: 400, 2304 and 10 000 values, as a square."""


def one(rng: np.random.Generator, width: int) -> tuple[Any, Any]:
    return rng.integers(width * width, size=1), 1.0


def two(rng: np.random.Generator, width: int) -> tuple[Any, Any]:
    """Equal or opposite, so that they cancel in full where they meet in a bucket."""
    return rng.choice(width * width, size=2, replace=False), np.array([1.0, rng.choice([-1.0, 1.0])])


def block(rng: np.random.Generator, width: int) -> tuple[Any, Any]:
    rows, columns = (slice(start, start + width // 4) for start in rng.integers(width // 2, size=2))
    return np.arange(width * width).reshape(width, width)[rows, columns].ravel(), 1.0


def row(rng: np.random.Generator, width: int) -> tuple[Any, Any]:
    start = int(rng.integers(width)) * width
    return np.arange(start, start + width), rng.normal(size=width)


def everywhere(rng: np.random.Generator, width: int) -> tuple[Any, Any]:
    return np.arange(width * width), rng.normal(size=width * width)


KINDS = (one, two, block, row, everywhere)


def changed(base: Array, where: Any, by: Any, *, factor: float) -> Array:
    """`base`, moved at some positions by `factor` times the tolerance; float32, so with its rounding."""
    after = base.astype(np.float64).ravel()
    shift = np.zeros_like(after)
    shift[where] = by
    after += shift * (factor * DEFAULT_TOLERANCE * np.linalg.norm(after) / np.linalg.norm(shift))
    return after.reshape(base.shape).astype(np.float32)


def true_error(base: Array, candidate: Array) -> float:
    before, after = base.astype(np.float64), candidate.astype(np.float64)
    return float(np.linalg.norm(after - before) / np.linalg.norm(before))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_change_from_one_and_a_half_times_the_tolerance_on_is_reported_and_none_up_to_half(
    kind: Callable[[np.random.Generator, int], tuple[Any, Any]],
) -> None:
    rng = np.random.default_rng(7)
    bases = [rng.normal(size=(width, width)).astype(np.float32) for width in WIDTHS]
    kept = [holding(native(of(base))) for base in bases]
    ratios = []
    for trial in range(TRIALS):
        base, before = bases[trial % len(bases)], kept[trial % len(bases)]
        where, by = kind(rng, base.shape[0])
        for low, high, movement in ((1.501, 3.0, Movement.MOVED), (0.02, 0.499, Movement.ROUNDING)):
            # Every other trial at the limit itself.
            factor = (low if movement is Movement.MOVED else high) if trial % 2 else rng.uniform(low, high)
            candidate = changed(base, where, by, factor=factor)
            true = true_error(base, candidate)
            error = true / DEFAULT_TOLERANCE
            assert error >= 1.5 if movement is Movement.MOVED else error <= 0.5
            (found,) = compare_natives(before, holding(native(of(candidate))))
            assert found.movement is movement, (trial, factor, found)
            ratios.append((found.relative_error or 0.0) / true)
    print(f"\n{kind.__name__}: estimate over truth {np.mean(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")
    assert abs(float(np.mean(ratios)) - 1.0) < 0.01
    assert min(ratios) > 0.75
    assert max(ratios) < 1.3


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_change_in_a_million_values_is_reported_too(
    kind: Callable[[np.random.Generator, int], tuple[Any, Any]],
) -> None:
    rng = np.random.default_rng(8)
    base = rng.normal(size=(1000, 1000)).astype(np.float32)
    before = holding(native(of(base)))
    for factor, movement in ((1.501, Movement.MOVED), (0.499, Movement.ROUNDING)) * 3:
        candidate = changed(base, *kind(rng, 1000), factor=factor)
        (found,) = compare_natives(before, holding(native(of(candidate))))
        assert found.movement is movement, (factor, found)
