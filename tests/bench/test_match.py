"""Match: what differs first, and what counts as equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.bench.match import (
    DEFAULT_TOLERANCE,
    MOST_FROM_NOISE,
    TF32_TOLERANCE,
    Match,
    compare,
    errors_of,
    grade,
    tolerance_for,
    worst,
)

FINITE = arrays(np.float32, st.integers(1, 20), elements=st.floats(-1e6, 1e6, width=32))


def f32(*values: float) -> Any:
    return np.array(values, np.float32)


def compared(actual: Sequence[Any], expected: Sequence[Any], tolerance: float = 1e-4) -> Match:
    return compare(actual, expected, tolerance)


@given(value=FINITE)
def test_what_is_equal_matches_exactly(value: Any) -> None:
    result = compared([value], [value.copy()], 0.0)
    assert result.equal
    assert result.errors is not None
    assert (result.errors.mse, result.errors.relative_error, result.errors.cosine) == (0.0, 0.0, 1.0)


@given(value=FINITE, factor=st.floats(-3, 3))
def test_the_relative_error_is_that_of_the_euclidean_norm(value: Any, factor: float) -> None:
    other = value.astype(np.float64) * factor
    figures = errors_of(other, value)
    assert -1.0 <= figures.cosine <= 1.0
    if np.linalg.norm(value.astype(np.float64)) > 1e-30:
        assert figures.relative_error == pytest.approx(abs(factor - 1), abs=1e-9)


def test_the_number_of_outputs_comes_first() -> None:
    result = compared([f32(1)], [f32(1), f32(2)])
    assert result.difference == "1 outputs instead of 2 (outputs[0], outputs[1])"
    assert result.errors is None


def test_the_dtype_of_any_output_comes_before_the_shape_of_an_earlier_one() -> None:
    result = compared([f32(1, 2), np.array([1.0])], [f32(1), f32(1)])
    assert result.difference == "outputs[1]: dtype float64 instead of float32"


def test_the_shape_comes_before_not_a_number() -> None:
    result = compared([f32(math.nan), f32(1, 2)], [f32(1), f32(1)])
    assert result.difference == "outputs[1]: shape [2] instead of [1]"


def test_a_transposed_output_is_a_shape() -> None:
    result = compared([np.zeros((1, 4, 4, 3), np.float32)], [np.zeros((1, 3, 4, 4), np.float32)])
    assert result.difference == "output: shape [1, 4, 4, 3] instead of [1, 3, 4, 4]"


def test_not_a_number_comes_before_values() -> None:
    result = compared([f32(9, 1), f32(math.nan, 1)], [f32(1, 1), f32(1, math.nan)])
    assert result.difference == "outputs[1]: NaN at [0] only after conversion (2 positions differ)"
    assert result.errors is not None


@pytest.mark.parametrize(
    ("actual", "expected", "told"),
    [
        (math.inf, 1.0, "+Inf at [1] only after conversion"),
        (1.0, math.inf, "+Inf at [1] only natively"),
        (-math.inf, 1.0, "-Inf at [1] only after conversion"),
        (-math.inf, math.inf, "+Inf at [1] only natively"),
        (math.nan, math.inf, "NaN at [1] only after conversion"),
    ],
)
def test_positions_of_special_values_are_compared(actual: float, expected: float, told: str) -> None:
    assert told in compared([f32(1, actual)], [f32(1, expected)]).difference


def test_equal_special_values_match_and_the_rest_is_still_compared() -> None:
    special = (math.nan, math.inf, -math.inf)
    assert compared([f32(*special, 1)], [f32(*special, 1)]).equal
    assert "values differ" in compared([f32(*special, 2)], [f32(*special, 1)]).difference
    assert compared([f32(*special)], [f32(*special)]).equal


def test_a_difference_says_which_output_where_and_by_how_much() -> None:
    actual, expected = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    actual[1, 2] = 1.5
    result = compared([f32(1), actual], [f32(1), expected])
    assert result.difference == (
        "outputs[1]: values differ, relative error 2.04e-01 above 1e-04, most at [1, 2]: 1.5 instead of 1"
    )
    assert result.errors is not None
    assert result.errors.max_abs_error == 0.5


@pytest.mark.parametrize(("error", "equal"), [(0.9e-4, True), (1.1e-4, False)])
def test_the_tolerance_bounds_the_relative_error(error: float, equal: bool) -> None:
    assert compared([np.array([1 + error])], [np.array([1.0])]).equal is equal


def test_a_zero_reference_has_an_infinite_error_unless_it_is_met() -> None:
    zero = np.zeros(3, np.float32)
    assert compared([zero.copy()], [zero]).equal
    result = compared([f32(0, 1e-20, 0)], [zero], 1e9)
    assert not result.equal
    assert result.errors is not None
    assert result.errors.relative_error == math.inf
    assert result.errors.cosine == 0.0


def test_empty_arrays_match() -> None:
    empty = np.zeros((0, 4), np.float32)
    assert compared([empty], [empty.copy()]).equal
    assert "shape [0, 5]" in compared([np.zeros((0, 5), np.float32)], [empty]).difference


def test_scalars_are_compared() -> None:
    assert compared([np.float32(2)], [np.float32(2)]).equal
    assert "most at []: 3 instead of 2" in compared([np.array(np.float32(3))], [np.array(np.float32(2))]).difference
    nan, one = np.array(np.float32(math.nan)), np.array(np.float32(1))
    assert "NaN at []" in compared([nan], [one]).difference


def test_integers_and_bools_are_compared() -> None:
    assert compared([np.array([1, 2])], [np.array([1, 2])]).equal
    assert "most at [1]: 7 instead of 2" in compared([np.array([1, 7])], [np.array([1, 2])]).difference
    flags = np.array([True, False])
    assert compared([flags], [flags.copy()]).equal
    assert not compared([flags], [~flags]).equal
    assert "dtype int32 instead of int64" in compared([np.array([1], np.int32)], [np.array([1], np.int64)]).difference


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint8, np.uint64, np.bool_])
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_any_other_integer_or_boolean_is_a_difference(kind: Any, shape: tuple[int, ...]) -> None:
    low, high = (0, 1) if kind is np.bool_ else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    expected = np.full(shape, high, kind)
    assert compared([expected.copy()], [expected], 1e9).equal
    near, far = expected.copy(), expected.copy()
    near.flat[-1], far.flat[-1] = high - 1, low
    where = [size - 1 for size in shape]
    for actual in (near, far):
        told = f"most at {where}: {int(actual.flat[-1])} instead of {high}"
        assert compared([actual], [expected], 1e9).difference == (
            f"output: values differ at 1 of {expected.size} positions, {told}"
        )
        assert not compared([expected], [actual], 1e9).equal


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_integers_that_no_float64_tells_apart_differ(kind: Any) -> None:
    result = compared([np.array([5, 2**53 + 1], kind)], [np.array([5, 2**53], kind)])
    assert result.difference == (
        "output: values differ at 1 of 2 positions, most at [1]: 9007199254740993 instead of 9007199254740992"
    )
    assert result.errors is not None
    assert result.errors.relative_error == 0.0


@given(
    pair=st.sampled_from([np.int16, np.int64, np.uint8, np.uint64, np.bool_]).flatmap(
        lambda kind: st.tuples(*[arrays(kind, st.just((2, 2)))] * 2)
    )
)
def test_integers_match_where_they_are_equal_and_the_largest_gap_is_told(pair: tuple[Any, Any]) -> None:
    actual, expected = pair
    result = compared([actual], [expected], 1e9)
    assert result.equal is (actual.tolist() == expected.tolist())
    gaps = [abs(int(a) - int(b)) for a, b in zip(actual.ravel(), expected.ravel(), strict=True)]
    if max(gaps):
        at = gaps.index(max(gaps))
        told = f"most at {[at // 2, at % 2]}: {int(actual.flat[at])} instead of {int(expected.flat[at])}"
        assert result.difference.endswith(told)


def test_both_parts_of_complex_numbers_are_compared() -> None:
    expected: Any = np.array([1 + 2j, 3 - 4j], np.complex64)
    assert compared([expected.copy()], [expected]).equal
    assert "most at [1, 1]: 4 instead of -4" in compared([expected.real + 1j * f32(2, 4)], [expected]).difference
    wrong = expected.copy()
    wrong[0] = complex(1, math.nan)
    assert "NaN at [0, 1] only after conversion" in compared([wrong], [expected]).difference


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_overflows_float64_does_not_match_in_silence() -> None:
    assert not compared([np.array([1e300, 1e300])], [np.array([-1e300, 1e300])]).equal


def test_the_worst_of_each_figure_counts() -> None:
    far, near = errors_of(f32(2, 0), f32(1, 0)), errors_of(f32(0, 10), f32(1, 10))
    result = worst([far, near])
    assert result is not None
    assert (result.relative_error, result.cosine) == (1.0, near.cosine)
    assert worst([]) is None


def test_the_tolerance_follows_noise_and_the_models_own_word() -> None:
    assert tolerance_for(0.0, own=None) == DEFAULT_TOLERANCE
    assert tolerance_for(1e-4, own=None) == pytest.approx(1e-3)
    assert tolerance_for(0.0, own=None, tf32=True) == TF32_TOLERANCE
    assert tolerance_for(1.0, own=1e-6) == 1e-6
    assert tolerance_for(0.0, own=1e-6, tf32=True) == 1e-6
    assert tolerance_for(math.nan, own=None) == tolerance_for(1.0, own=None) == MOST_FROM_NOISE


@pytest.mark.parametrize(("tf32", "equal"), [(True, True), (False, False)])
def test_the_wider_tolerance_is_for_tf32_alone(tf32: bool, equal: bool) -> None:
    expected = np.linspace(1, 2, 100, dtype=np.float32)
    # As TF32 has it: 13 of the 23 bits of the mantissa cut off.
    actual = (expected.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    assert compared([actual], [expected], tolerance_for(0.0, own=None, tf32=tf32)).equal is equal


@pytest.mark.parametrize(
    ("mse", "word"), [(0.0, "excellent"), (1e-5, "acceptable"), (1e-3, "investigate"), (math.inf, "investigate")]
)
def test_grades(mse: float, word: str) -> None:
    assert grade(mse) == word
