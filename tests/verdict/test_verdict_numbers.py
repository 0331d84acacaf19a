from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.verdict.numbers import Direction, Magnitude, NumberChange, Quantity, Significance


def change(base: float, candidate: float, quantity: Quantity = Quantity.LATENCY) -> NumberChange:
    return NumberChange(quantity=quantity, base=base, candidate=candidate)


@pytest.mark.parametrize(
    ("candidate", "magnitude", "direction"),
    [
        (100.0, Magnitude.NONE, Direction.LEVEL),
        (100.5, Magnitude.NONE, Direction.WORSE),
        (102.0, Magnitude.SMALL, Direction.WORSE),
        (98.0, Magnitude.SMALL, Direction.BETTER),
        (110.0, Magnitude.MEDIUM, Direction.WORSE),
        (130.0, Magnitude.LARGE, Direction.WORSE),
        (50.0, Magnitude.LARGE, Direction.BETTER),
        (0.0, Magnitude.LARGE, Direction.BETTER),
        (math.inf, Magnitude.LARGE, Direction.WORSE),
    ],
)
def test_how_far_and_which_way(candidate: float, magnitude: Magnitude, direction: Direction) -> None:
    assert change(100.0, candidate).magnitude is magnitude
    assert change(100.0, candidate).direction is direction


def test_without_a_base_there_is_no_ratio() -> None:
    assert change(0.0, 1.0).ratio is None
    assert change(0.0, 1.0).magnitude is Magnitude.LARGE
    assert change(0.0, 0.0).magnitude is Magnitude.NONE


def test_only_what_does_not_vary_between_runs_is_significant() -> None:
    assert change(1.0, 9.0).significance is Significance.UNDETERMINED
    assert change(1.0, 9.0, Quantity.MEMORY).significance is Significance.UNDETERMINED
    assert change(1.0, 9.0, Quantity.SIZE).significance is Significance.SIGNIFICANT
    assert change(1.0, 1.0, Quantity.SIZE).significance is Significance.NOT_SIGNIFICANT
    assert change(1.0, 9.0, Quantity.ERROR).significance is Significance.NOT_SIGNIFICANT


@given(st.floats(), st.floats())
def test_any_two_numbers_can_be_compared(base: float, candidate: float) -> None:
    found = change(base, candidate)
    assert found.magnitude in Magnitude
    assert found.direction in Direction
    assert found.ratio is None or not math.isnan(found.ratio)
