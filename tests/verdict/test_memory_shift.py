"""The rule for memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.verdict.memory import memory_shift

LAUNCHES = st.lists(st.floats(1.0, 4000.0), min_size=3, max_size=8)


@pytest.mark.parametrize("base_mb", [60.0, 400.0, 2000.0])
@pytest.mark.parametrize("noise", [0.001, 0.003, 0.01])
@pytest.mark.parametrize("launches", [3, 6])
def test_15_percent_more_is_found_ten_times_of_ten_and_nothing_in_150_that_are_alike(
    base_mb: float, noise: float, launches: int
) -> None:
    random = np.random.default_rng(0)

    def side(more: float) -> list[float]:
        # Whole pages of 4 KiB.
        values = base_mb * (1 + more) * (1 + random.normal(0.0, noise, launches))
        return list(np.round(values * 256) / 256)

    assert not any(memory_shift(side(0.0), side(0.0)).found for _ in range(150))
    assert all(memory_shift(side(0.0), side(0.15)).found for _ in range(10))
    assert all(memory_shift(side(0.15), side(0.0)).found for _ in range(10))


def test_what_it_says() -> None:
    shift = memory_shift([300.0, 301.0, 299.0], [380.0, 381.0, 379.0])
    assert shift.found
    assert (shift.a_mb, shift.b_mb, shift.difference_mb) == (300.0, 380.0, 80.0)
    assert shift.share == pytest.approx(80 / 300)
    assert shift.needed_mb == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([50.0, 50.0, 50.0], [55.0, 55.0, 55.0]),  # a step of an allocator
        ([1000.0, 1000.0, 1000.0], [1040.0, 1040.0, 1040.0]),  # 4 %
        ([100.0, 100.0, 100.0], [100.0, 130.0, 130.0]),  # the sides overlap
        ([100.0, 100.0, 100.0], [115.0, 116.0, 140.0]),  # B's launches differ more than the sides
    ],
)
def test_what_is_no_shift(a: list[float], b: list[float]) -> None:
    assert not memory_shift(a, b).found
    assert not memory_shift(b, a).found


def test_of_six_launches_one_may_be_odd() -> None:
    odd = [100.0, 100.0, 100.0, 100.0, 100.0, 150.0]
    assert memory_shift(odd, [115.0] * 6).found
    assert not memory_shift(odd, [100.0] * 6).found


def test_what_a_cell_is_known_to_vary_by_is_asked_for() -> None:
    a, b = [100.0] * 3, [110.0] * 3
    assert memory_shift(a, b).found
    assert not memory_shift(a, b, noise_mb=10.0).found


@given(LAUNCHES, LAUNCHES)
def test_sides_may_be_swapped(a: list[float], b: list[float]) -> None:
    one, other = memory_shift(a, b), memory_shift(b, a)
    assert (one.found, one.needed_mb, one.difference_mb) == (other.found, other.needed_mb, -other.difference_mb)


@pytest.mark.parametrize(
    ("launches", "said"),
    [([1.0, 1.0], "three launches"), ([1.0, 0.0, 1.0], "not known"), ([1.0, math.nan, 1.0], "not known")],
)
def test_what_was_not_measured_is_refused(launches: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        memory_shift([1.0, 1.0, 1.0], launches)
