from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tables.natives import Native, NativeOutput
from harness.tables.schema import Table
from harness.verdict.comparison import compare
from harness.verdict.natives import Movement, NativeChange, compare_natives, relative_error
from tests.tables.samples import native, output, passed, table

samples = st.lists(st.floats(), max_size=8).map(tuple)
EXAMPLE = output(3.0, 4.0)


def sampled(made: Native | None, **digests: Any) -> Table:
    return table(passed("m", "native", **digests), natives={} if made is None else {"m": made})


def only(base: Native, candidate: Native) -> NativeChange:
    (change,) = compare_natives(sampled(base), sampled(candidate))
    return change


def test_equal_digests_are_the_same_bits_whatever_else() -> None:
    change = only(native(EXAMPLE), native(replace(EXAMPLE, sample=(9.0, math.nan))))
    assert (change.movement, change.relative_error, change.difference) == (Movement.SAME_BITS, 0.0, "")


@pytest.mark.parametrize(
    ("sample", "movement", "relative"),
    [
        ((3.0, 4.0), Movement.ROUNDING, 0.0),
        ((3.0, 4.0 + 4e-6), Movement.ROUNDING, 8e-7),
        ((3.0, 4.0 + 4.9e-4), Movement.ROUNDING, 9.8e-5),
        ((3.0, 4.0 + 5.1e-4), Movement.MOVED, 1.02e-4),
        ((-3.0, -4.0), Movement.MOVED, 2.0),
        ((0.0, 0.0), Movement.MOVED, 1.0),
    ],
)
def test_how_far_values_moved(sample: tuple[float, ...], movement: Movement, relative: float) -> None:
    change = only(native(EXAMPLE), native(replace(EXAMPLE, sample=sample, digest="new")))
    assert change.movement is movement
    assert change.relative_error == pytest.approx(relative, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"dtype": "float64", "shape": (1,)}, "dtype float64 instead of float32"),
        ({"shape": (2, 1)}, "shape [2, 1] instead of [2]"),
        ({"sample": (3.0,)}, "1 sampled values instead of 2"),
        ({"sample": (3.0, math.nan)}, "a sampled value is NaN instead of finite"),
        ({"sample": (-math.inf, 4.0)}, "a sampled value is -Inf instead of finite"),
    ],
)
def test_another_structure_has_moved_and_says_how(change: dict[str, Any], difference: str) -> None:
    found = only(native(EXAMPLE), native(replace(EXAMPLE, digest="new", **change)))
    assert (found.movement, found.relative_error, found.difference) == (Movement.MOVED, None, difference)


def test_another_number_of_outputs_has_moved() -> None:
    found = only(native(EXAMPLE, EXAMPLE), native(EXAMPLE))
    assert (found.movement, found.output, found.difference) == (Movement.MOVED, 1, "1 outputs instead of 2")


def test_what_is_not_finite_on_both_sides_does_not_matter_and_its_sign_does() -> None:
    before = replace(EXAMPLE, sample=(3.0, math.nan, math.inf, 4.0))
    after = replace(before, digest="new", sample=(3.0, math.nan, math.inf, 4.0 + 5e-6))
    found = only(native(before), native(after))
    assert found.movement is Movement.ROUNDING
    assert found.relative_error == pytest.approx(1e-6, rel=1e-3)
    flipped = only(native(before), native(replace(after, sample=(3.0, math.nan, -math.inf, 4.0))))
    assert flipped.difference == "a sampled value is -Inf instead of +Inf"


def test_without_a_norm_any_error_is_infinite() -> None:
    zero = replace(EXAMPLE, sample=(0.0, 0.0))
    assert only(native(zero), native(replace(zero, digest="new"))).movement is Movement.ROUNDING
    found = only(native(zero), native(replace(zero, digest="new", sample=(0.0, 1e-30))))
    assert (found.movement, found.relative_error) == (Movement.MOVED, math.inf)


def test_the_output_that_moved_most_is_named() -> None:
    def moved(by: float) -> NativeOutput:
        return replace(EXAMPLE, digest=f"moved {by}", sample=(3.0, 4.0 + by))

    base = native(EXAMPLE, EXAMPLE, other=(EXAMPLE, EXAMPLE), longer=(EXAMPLE, EXAMPLE))
    far = native(EXAMPLE, moved(1e-6), other=(moved(0.5), moved(2.0)), longer=(moved(1.0), EXAMPLE))
    found = only(base, far)
    assert (found.input_set, found.output, found.movement) == ("other", 1, Movement.MOVED)
    reshaped = replace(EXAMPLE, digest="new", shape=(3,))
    found = only(base, replace(far, outputs={**far.outputs, "longer": (EXAMPLE, reshaped)}))
    assert (found.input_set, found.output, found.difference) == ("longer", 1, "shape [3] instead of [2]")


def test_equal_samples_under_other_bits_are_no_same_bits() -> None:
    base = native(EXAMPLE, EXAMPLE)
    found = only(base, native(EXAMPLE, replace(EXAMPLE, digest="new")))
    assert (found.movement, found.output) == (Movement.ROUNDING, 1)


def test_only_input_sets_of_both_sides_are_compared() -> None:
    base, candidate = native(EXAMPLE, gone=(EXAMPLE,)), native(EXAMPLE, new=(EXAMPLE,))
    assert only(base, candidate).movement is Movement.SAME_BITS
    without = Native(weights_digest=base.weights_digest, outputs={"other": (EXAMPLE,)})
    assert compare_natives(sampled(base), sampled(without)) == ()


def test_other_weights_another_file_and_one_side_alone_are_not_compared() -> None:
    base, moved = native(EXAMPLE), native(output(1.0))
    assert compare_natives(sampled(base), sampled(replace(moved, weights_digest="new"))) == ()
    assert compare_natives(sampled(base), sampled(moved, model_digest="new")) == ()
    assert compare_natives(sampled(base), sampled(None)) == ()
    assert compare_natives(sampled(None), sampled(base)) == ()
    assert len(compare_natives(sampled(base, model_digest=None), sampled(moved, model_digest="new"))) == 1


def test_where_one_side_has_none_a_note_says_so() -> None:
    base = native(EXAMPLE)
    for tables, side in (((sampled(base), sampled(None)), "candidate"), ((sampled(None), sampled(base)), "base")):
        (note,) = compare(*tables).notes
        assert note.startswith(f"The {side}'s table holds no native outputs, so ")
    assert compare(sampled(None), sampled(None)).notes == ()


@given(samples)
def test_nothing_moved_against_itself(sample: tuple[float, ...]) -> None:
    assert relative_error(sample, sample) == 0.0
    made = replace(EXAMPLE, sample=sample)
    assert only(native(made), native(replace(made, digest="new"))).movement is Movement.ROUNDING


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=8))
def test_any_two_samples_can_be_compared(pairs: list[tuple[float, float]]) -> None:
    base, candidate = tuple(b for b, _ in pairs), tuple(c for _, c in pairs)
    error = relative_error(base, candidate)
    assert error >= 0.0
    finite = [(b, c) for b, c in pairs if math.isfinite(b) and math.isfinite(c)]
    assert (error == 0.0) or any(b != c for b, c in finite)
    found = only(native(replace(EXAMPLE, sample=base)), native(replace(EXAMPLE, sample=candidate, digest="new")))
    assert found.movement in (Movement.ROUNDING, Movement.MOVED)
    assert (found.relative_error is None) == bool(found.difference)


@given(st.lists(st.floats(1e-200, 1e200), min_size=1, max_size=8), st.integers(-300, 300), st.floats(0, 2))
def test_a_relative_error_does_not_depend_on_the_scale(values: list[float], exponent: int, factor: float) -> None:
    """Multiplying by a power of two is exact."""
    sample, moved = tuple(values), tuple(value * factor for value in values)
    scaled = (tuple(math.ldexp(value, exponent) for value in each) for each in (sample, moved))
    assert relative_error(*scaled) == pytest.approx(relative_error(sample, moved))
    assert relative_error(sample, moved) == pytest.approx(abs(factor - 1), abs=1e-9)


def test_the_largest_numbers_do_not_overflow() -> None:
    assert relative_error((1.7e308, 1.7e308), (-1.7e308, -1.7e308)) == pytest.approx(2.0)
    assert relative_error((5e-324,), (1e-323,)) == pytest.approx(1.0)
