from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tables.natives import NativeOutput
from harness.verdict.comparison import Category, compare
from harness.verdict.natives import Movement, compare_natives, relative_error
from tests.tables.samples import native, passed, table
from tests.verdict.outputs import FORMS, Make, holding, moved, of, of_schema_1, only, only_change, small, values


@FORMS
def test_equal_digests_are_the_same_bits_whatever_else(make: Make) -> None:
    change = only(native(make(3.0, 4.0, digest="d")), native(make(9.0, math.nan, digest="d")))
    assert (change.movement, change.relative_error, change.difference) == (Movement.SAME_BITS, 0.0, "")


@FORMS
@pytest.mark.parametrize(
    ("after", "movement", "relative"),
    [
        ((3.0, 4.0), Movement.ROUNDING, 0.0),
        ((3.0, 4.0 + 4e-6), Movement.ROUNDING, 8e-7),
        ((3.0, 4.0 + 4.9e-4), Movement.ROUNDING, 9.8e-5),
        ((3.0, 4.0 + 5.1e-4), Movement.MOVED, 1.02e-4),
        ((-3.0, -4.0), Movement.MOVED, 2.0),
        ((0.0, 0.0), Movement.MOVED, 1.0),
    ],
)
def test_how_far_values_moved(make: Make, after: tuple[float, ...], movement: Movement, relative: float) -> None:
    change = only(native(make(3.0, 4.0)), native(make(*after, digest="new")))
    assert change.movement is movement
    assert change.relative_error == pytest.approx(relative, rel=1e-6)


@FORMS
@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"dtype": "float64"}, "dtype float64 instead of float32"),
        ({"shape": (2, 1)}, "shape [2, 1] instead of [2]"),
    ],
)
def test_another_structure_has_moved_and_says_how(make: Make, change: dict[str, Any], difference: str) -> None:
    found = only(native(make(3.0, 4.0)), native(make(3.0, 4.0, digest="new", **change)))
    assert (found.movement, found.relative_error, found.difference) == (Movement.MOVED, None, difference)


@pytest.mark.parametrize(
    ("make", "after", "difference"),
    [
        (of_schema_1, (3.0, math.nan), "a sampled value is NaN instead of finite"),
        (of_schema_1, (-math.inf, 4.0), "a sampled value is -Inf instead of finite"),
        (small, (3.0, math.nan), "a value is NaN instead of finite"),
        (small, (-math.inf, 4.0), "a value is -Inf instead of finite"),
    ],
)
def test_what_is_not_finite_any_more_has_moved(make: Make, after: tuple[float, ...], difference: str) -> None:
    found = only(native(make(3.0, 4.0)), native(make(*after, digest="new")))
    assert (found.movement, found.relative_error, found.difference) == (Movement.MOVED, None, difference)


def test_another_number_of_samples_has_moved() -> None:
    found = only(native(of_schema_1(3.0, 4.0)), native(of_schema_1(3.0, shape=(2,))))
    assert (found.movement, found.difference) == (Movement.MOVED, "1 sampled values instead of 2")


def test_masks_of_a_large_output_are_told_by_their_digests() -> None:
    plain = np.linspace(1, 2, 1000, dtype=np.float32)
    one, other = plain.copy(), plain.copy()
    one[7], other[8] = math.nan, math.nan
    assert moved(plain, one).difference == "NaN or Inf in it, where the base has none"
    assert moved(one, plain).difference == "no NaN or Inf any more"
    assert moved(one, other).difference == "NaN and Inf at other positions"
    other[8], other[7] = plain[8], math.inf
    assert moved(one, other).difference == "NaN and Inf at other positions"
    near = one * np.float32(1 + 1e-6)
    assert moved(one, near).movement is Movement.ROUNDING


def test_another_number_of_outputs_has_moved() -> None:
    found = only(native(small(1.0), small(1.0)), native(small(1.0)))
    assert (found.movement, found.output, found.difference) == (Movement.MOVED, "1", "1 outputs instead of 2")


@FORMS
def test_what_is_not_finite_on_both_sides_does_not_matter_and_its_sign_does(make: Make) -> None:
    before = make(3.0, math.nan, math.inf, 4.0)
    found = only(native(before), native(make(3.0, math.nan, math.inf, 4.0 + 5e-6, digest="new")))
    assert found.movement is Movement.ROUNDING
    assert found.relative_error == pytest.approx(1e-6, rel=1e-3)
    flipped = only(native(before), native(make(3.0, math.nan, -math.inf, 4.0, digest="new")))
    assert flipped.difference.endswith("value is -Inf instead of +Inf")


@FORMS
def test_without_a_norm_any_error_is_infinite(make: Make) -> None:
    zero = make(0.0, 0.0)
    assert only(native(zero), native(replace(zero, digest="new"))).movement is Movement.ROUNDING
    found = only(native(zero), native(make(0.0, 1e-30)))
    assert (found.movement, found.relative_error) == (Movement.MOVED, math.inf)


def test_outputs_are_named_by_their_paths() -> None:
    base = replace(native(small(1.0), small(3.0, 4.0)), paths=("outputs.logits", "outputs.hidden"))
    other = replace(base, outputs={"example": (small(1.0), small(3.0, 5.0))})
    assert only(base, other).output == only(replace(base, paths=()), other).output == "outputs.hidden"
    found = only(base, replace(base, paths=("outputs.logits", "outputs.state")))
    assert (found.movement, found.relative_error) == (Movement.MOVED, None)
    assert found.difference == (
        "forward returns outputs.logits, outputs.state instead of outputs.logits, outputs.hidden"
    )
    assert only(base, replace(base, paths=())).movement is Movement.SAME_BITS


def test_large_outputs_of_zeros() -> None:
    zero = np.zeros(1000, np.float32)
    other = zero.copy()
    assert moved(zero, -zero).movement is Movement.ROUNDING
    other[3] = 1e-30
    assert (moved(zero, other).movement, moved(zero, other).relative_error) == (Movement.MOVED, math.inf)
    assert moved(other, zero).relative_error == 1.0


def test_the_output_that_moved_most_is_named() -> None:
    def by(step: float) -> NativeOutput:
        return small(3.0, 4.0 + step, digest=f"moved {step}")

    kept = small(3.0, 4.0)
    base = native(kept, kept, other=(kept, kept), longer=(kept, kept))
    far = native(kept, by(1e-6), other=(by(0.5), by(2.0)), longer=(by(1.0), kept))
    found = only(base, far)
    assert (found.input_set, found.output, found.movement) == ("other", "1", Movement.MOVED)
    reshaped = small(1.0, 2.0, 3.0)
    found = only(base, replace(far, outputs={**far.outputs, "longer": (kept, reshaped)}))
    assert (found.input_set, found.output, found.difference) == ("longer", "1", "shape [3] instead of [2]")


def test_a_moved_integer_is_worse_than_any_rounding() -> None:
    count, value = np.array([1_000_000_000]), np.array([1.0])
    base = native(of(count), of(value))
    found = only(base, native(of(count + 1), of(value * (1 + 5e-5))))
    assert (found.movement, found.output) == (Movement.MOVED, "0")
    assert found.relative_error == pytest.approx(1e-9, rel=0.1)


@pytest.mark.parametrize("size", [10, 1000])
@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8, np.bool_])
def test_integers_and_booleans_are_compared_exactly(kind: Any, size: int) -> None:
    base = (np.arange(size) % 100).astype(kind)
    other = base.copy()
    other[-1] = not base[-1] if kind is np.bool_ else base[-1] + 1
    assert moved(base, base.copy()).movement is Movement.SAME_BITS
    assert moved(base, other).movement is Movement.MOVED


def test_an_integer_that_no_float_can_tell_apart_has_moved_all_the_same() -> None:
    base = np.full(1000, 1 << 60)
    other = base.copy()
    other[0] += 1
    found = moved(base, other)
    assert (found.movement, found.relative_error, found.difference) == (Movement.MOVED, None, "values differ")


def test_equal_values_under_other_bits_are_no_same_bits() -> None:
    kept = small(3.0, 4.0)
    found = only(native(kept, kept), native(kept, replace(kept, digest="new")))
    assert (found.movement, found.output) == (Movement.ROUNDING, "1")


def test_a_model_s_own_tolerance_counts_where_it_is_larger() -> None:
    base = np.linspace(1, 2, 1000)
    assert moved(base, base * 1.001).movement is Movement.MOVED
    assert moved(base, base * 1.001, tolerance=5e-3).movement is Movement.ROUNDING
    assert moved(base, base * 1.01, tolerance=5e-3).movement is Movement.MOVED
    assert moved(base, base * (1 + 5e-5), tolerance=1e-6).movement is Movement.ROUNDING


def test_the_base_s_tolerance_judges_both_sides() -> None:
    base, candidate = np.linspace(1, 2, 1000), np.linspace(1, 2, 1000) * 1.001
    wide = replace(native(of(candidate)), tolerance=5e-3)
    assert only(replace(native(of(base)), tolerance=1e-4), wide).movement is Movement.MOVED
    assert only(native(of(base)), wide).movement is Movement.ROUNDING


@pytest.mark.parametrize("new", [small(3.0, 4.0, digest="new"), of(np.ones(1000, np.float32))])
def test_a_sample_of_schema_1_is_not_held_against_what_is_kept_now(new: NativeOutput) -> None:
    old = of_schema_1(3.0, 4.0, shape=new.shape)
    for base, candidate in ((old, new), (new, old)):
        found = only(native(base), native(candidate))
        assert (found.movement, found.relative_error) == (Movement.UNTOLD, None)
        (note,) = compare(holding(native(base)), holding(native(candidate))).notes
        assert note.startswith("How far the native outputs of m moved is not told in full: ")
        equal = (native(replace(each, digest="equal")) for each in (base, candidate))
        assert only(*equal).movement is Movement.SAME_BITS
        assert only(native(base), native(replace(candidate, dtype="float64"))).movement is Movement.MOVED
        integers = (native(replace(each, dtype="int64")) for each in (base, candidate))
        assert only(*integers).difference == "values differ"


def test_what_moved_comes_before_what_is_not_told() -> None:
    base = native(of_schema_1(1.0), small(1.0))
    found = only(base, native(small(1.0), small(2.0)))
    assert (found.movement, found.output) == (Movement.MOVED, "1")


def test_an_input_set_that_the_candidate_has_no_answer_to_has_moved() -> None:
    kept = small(3.0, 4.0)
    base = native(kept, first=(kept,), second=(kept,))
    for names, difference in [
        (("example", "first"), "the candidate has no native output for the probe 'second'"),
        (("example",), "the candidate has no native output for the probe 'first'"),
        (("first", "second", "other"), "the candidate has no native output for the example"),
        ((), "the candidate has no native output for the example"),
    ]:
        found = only(base, replace(base, outputs=dict.fromkeys(names, (kept,))))
        assert (found.movement, found.relative_error, found.difference) == (Movement.MOVED, None, difference)
    gone = replace(base, outputs={"example": (small(300.0, 4.0),)})
    assert only(base, gone).input_set == "first"


def test_an_input_set_that_only_the_candidate_has_is_said() -> None:
    kept = small(3.0, 4.0)
    base, candidate = native(kept), native(kept, first=(kept,), second=(small(1.0),))
    assert only(base, candidate).movement is Movement.SAME_BITS
    (note,) = compare(holding(base), holding(candidate)).notes
    words = "Only the candidate has native outputs on further input sets, which are not compared:"
    assert note == f"{words} m (first, second)."
    assert note not in compare(holding(base), holding(candidate, model_digest="new")).notes
    none = replace(base, outputs={})
    assert compare_natives(holding(none), holding(base)) == ()
    assert compare(holding(none), holding(base)).notes == (f"{words} m (example).",)


def test_a_probe_that_is_answered_by_nan_now_has_moved() -> None:
    numbers = np.linspace(1, 2, 1000, dtype=np.float32)
    for size, difference in [(10, "a value is NaN instead of finite"), (1000, "NaN or Inf in it, where the base")]:
        before = native(of(numbers[:size]), first=(of(numbers[:size]),))
        after = replace(before, outputs={**before.outputs, "first": (of(numbers[:size] * np.float32(math.nan)),)})
        found = only(before, after)
        assert (found.movement, found.input_set) == (Movement.MOVED, "first")
        assert found.difference.startswith(difference)
        assert only(after, after).movement is Movement.SAME_BITS
        assert only(after, before).movement is Movement.MOVED


def test_other_weights_another_file_and_one_side_alone_are_not_compared() -> None:
    base, other = native(small(3.0, 4.0)), native(small(1.0))
    assert compare_natives(holding(base), holding(replace(other, weights_digest="new"))) == ()
    assert compare_natives(holding(base), holding(other, model_digest="new")) == ()
    assert compare_natives(holding(base), holding(None)) == ()
    assert compare_natives(holding(None), holding(base)) == ()
    assert len(compare_natives(holding(base, model_digest=None), holding(other, model_digest="new"))) == 1


def test_a_module_of_a_users_own_that_differs_is_never_blamed_on_the_versions() -> None:
    base, other = native(small(3.0, 4.0)), native(small(1.0))
    before = holding(replace(base, code={"mine.net": "a" * 16, "mine.sizes": "b" * 16, "mine.old": "c" * 16}))
    after = holding(replace(other, code={"mine.net": "d" * 16, "mine.sizes": "b" * 16, "mine.new": "e" * 16}))
    assert compare_natives(before, after) == ()
    (change,) = compare(before, after).changes
    assert change.category is Category.NOT_COMPARABLE
    assert change.reason == "the model's code differs between the two runs (mine.net)"
    same = holding(replace(other, code={"mine.sizes": "b" * 16, "mine.new": "e" * 16}))
    assert len(compare_natives(before, same)) == 1


def test_a_file_that_both_sides_ran_is_compared_whatever_else_one_side_ran() -> None:
    base, other = native(small(3.0, 4.0)), native(small(1.0))
    mixed = table(passed("m", "native"), passed("m", "s", model_digest="new"), natives={"m": other})
    assert only_change(holding(base), mixed).movement is Movement.MOVED
    assert only_change(mixed, holding(base)).movement is Movement.MOVED


def test_where_one_side_has_none_a_note_says_so() -> None:
    base = native(small(3.0, 4.0))
    for tables, side in (((holding(base), holding(None)), "candidate"), ((holding(None), holding(base)), "base")):
        (note,) = compare(*tables).notes
        assert note.startswith(f"The {side}'s table holds no native outputs, so ")
    assert compare(holding(None), holding(None)).notes == ()


def test_models_that_one_side_alone_has_native_outputs_of_are_named() -> None:
    kept = native(small(3.0, 4.0))
    cells = [passed(model, "native") for model in ("a", "b", "c")]
    full = table(*cells, natives={"a": kept, "b": kept, "c": kept})
    (note,) = compare(full, table(*cells, natives={"b": kept})).notes
    assert note.startswith("Only the base's table has native outputs of a, c, so ")
    (note,) = compare(table(*cells, natives={"b": kept}), full).notes
    assert note.startswith("Only the candidate's table has native outputs of a, c, so ")


def test_models_that_a_smaller_tier_never_planned_are_not_missed() -> None:
    kept = native(small(3.0, 4.0))
    cells = [passed("a", "native"), passed("b", "native")]
    larger = table(*cells, tier="core", natives={"a": kept, "b": kept})
    notes = compare(larger, table(cells[0], natives={"a": kept})).notes
    assert not [note for note in notes if "native outputs" in note]
    notes = compare(larger, table(*cells, natives={"a": kept})).notes
    assert [note for note in notes if note.startswith("Only the base's table has native outputs of b, so ")]


@given(values)
def test_nothing_moved_against_itself(kept: tuple[float, ...]) -> None:
    assert relative_error(kept, kept) == 0.0
    for make in (of_schema_1, small):
        assert only(native(make(*kept)), native(make(*kept, digest="new"))).movement is Movement.ROUNDING


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=8))
def test_any_two_outputs_can_be_compared(pairs: list[tuple[float, float]]) -> None:
    base, candidate = tuple(b for b, _ in pairs), tuple(c for _, c in pairs)
    error = relative_error(base, candidate)
    assert error >= 0.0
    finite = [(b, c) for b, c in pairs if math.isfinite(b) and math.isfinite(c)]
    assert (error == 0.0) or any(b != c for b, c in finite)
    for make in (of_schema_1, small):
        found = only(native(make(*base, digest="old")), native(make(*candidate, digest="new")))
        assert found.movement in (Movement.ROUNDING, Movement.MOVED)
        assert (found.relative_error is None) == bool(found.difference)


@given(st.lists(st.floats(1e-200, 1e200), min_size=1, max_size=8), st.integers(-300, 300), st.floats(0, 2))
def test_a_relative_error_does_not_depend_on_the_scale(kept: list[float], exponent: int, factor: float) -> None:
    """Multiplying by a power of two is exact."""
    before, after = tuple(kept), tuple(value * factor for value in kept)
    scaled = (tuple(math.ldexp(value, exponent) for value in each) for each in (before, after))
    assert relative_error(*scaled) == pytest.approx(relative_error(before, after))
    assert relative_error(before, after) == pytest.approx(abs(factor - 1), abs=1e-9)


def test_the_largest_numbers_do_not_overflow() -> None:
    assert relative_error((1.7e308, 1.7e308), (-1.7e308, -1.7e308)) == pytest.approx(2.0)
    assert relative_error((5e-324,), (1e-323,)) == pytest.approx(1.0)
