"""What an artifact answers, held against native outputs of several shapes: numbers, None, order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench import tensors
from harness.bench.answers import Answers, hold_against

X, Y = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)


def held(
    folder: Path,
    native: list[dict[str, Any]],
    answered: list[list[Any]],
    *,
    numbers: tuple[int, ...] | list[list[int]] = (),
    own: bool = False,
) -> Answers:
    """What comes of answers to the example and to probes, whose native outputs are given by path.

    `numbers` are the indices of Python's numbers among the outputs, a list by input set where they differ.
    """
    for index, (outputs, actual) in enumerate(zip(native, answered, strict=True)):
        tensors.save(folder / f"native-{index}.npz", list(outputs.values()))
        tensors.save(folder / f"outputs-{index}.npz", actual)
    facts = {
        "names": ["example", "other", "more"][: len(native)],
        "paths": [list(outputs) for outputs in native],
        "numbers": [list(numbers) if isinstance(numbers, tuple) else numbers[index] for index in range(len(native))],
    }
    return hold_against(folder, folder, facts, range(len(native)), 1e-4, {}, own=own)


def difference(answers: Answers) -> str:
    return answers.failure.error if answers.failure else ""


def test_a_difference_is_told_by_the_path(tmp_path: Path) -> None:
    native = {"outputs.logits": X, "outputs.hidden[0]": X}
    assert difference(held(tmp_path, [native], [[X, X]])) == ""
    assert difference(held(tmp_path, [native], [[X, Y]])).startswith("outputs.hidden[0]: values differ, relative error")
    told = "1 outputs instead of 2 (outputs.logits, outputs.hidden[0])"
    assert difference(held(tmp_path, [native], [[X]])) == told


def test_a_number_that_is_always_the_same_may_be_missing(tmp_path: Path) -> None:
    native = [{"outputs[0]": X, "outputs[1]": 0.5, "outputs[2]": Y}] * 2
    answers = held(tmp_path, native, [[X, Y]] * 2, numbers=(1,))
    assert (difference(answers), answers.not_carried) == ("", ("outputs[1]",))
    assert difference(held(tmp_path, native, [[Y, X]] * 2, numbers=(1,))).startswith("outputs[0]: values differ")
    assert (
        difference(held(tmp_path, native, [[X, Y]] * 2))
        == "2 outputs instead of 3 (outputs[0], outputs[1], outputs[2])"
    )
    with_it = held(tmp_path, native, [[X, np.float32(0.5), Y]] * 2, numbers=(1,))
    assert (difference(with_it), with_it.not_carried) == ("", ())


def test_a_number_that_varies_may_not_be_missing(tmp_path: Path) -> None:
    native = [{"outputs.x": X, "outputs.scale": 0.5}, {"outputs.x": X, "outputs.scale": 0.25}]
    told = "outputs.scale is a Python number that differs between inputs, and the artifact does without it"
    assert difference(held(tmp_path, native, [[X], [X]], numbers=(1,))) == told
    constant = held(tmp_path, native, [[X, 0.5], [X, 0.5]], numbers=(1,))
    assert difference(constant).startswith("probe 'other': outputs.scale: values differ")
    assert difference(held(tmp_path, native, [[X, 0.5], [X, 0.25]], numbers=(1,))) == ""


def test_numbers_are_where_each_input_has_them(tmp_path: Path) -> None:
    """An image a row, and their count: with other rows the count is elsewhere, or not there at all."""
    native: list[dict[str, Any]] = [{"o[0][0]": X, "o[0][1]": Y, "o[1]": 2}, {"o[0][0]": X, "o[1]": 1}, {"o": X}]
    numbers = [[2], [1], []]
    assert difference(held(tmp_path, native, [[X, Y, 2], [X, 1], [X]], numbers=numbers, own=True)) == ""
    wrong = held(tmp_path, native, [[X, Y, 2], [X, 2], [X]], numbers=numbers, own=True)
    assert difference(wrong).startswith("probe 'other': o[1]: values differ")
    told = "o[1] is a Python number that differs between inputs, and the artifact does without it"
    assert difference(held(tmp_path, native, [[X, Y], [X], [X]], numbers=numbers)) == told
    kept = held(tmp_path, native, [[X, Y, np.int32(2)], [X, np.int32(1)], [X]], numbers=numbers)
    assert difference(kept) == "probe 'other': natively there is no o[0][1], and on the example there is"


def test_a_number_that_is_a_tensor_for_other_inputs_may_not_be_missing(tmp_path: Path) -> None:
    native: list[dict[str, Any]] = [{"o[0]": X, "o[1]": 0.5}, {"o[0]": X, "o[1]": np.float32(0.5)}]
    told = "o[1] is a Python number that differs between inputs, and the artifact does without it"
    assert difference(held(tmp_path, native, [[X], [X]], numbers=[[1], []])) == told


@pytest.mark.parametrize(
    ("number", "actual", "told"),
    [
        (0.1, np.float32(0.1), ""),
        (3, np.int32(3), ""),
        (True, np.bool_(True), ""),
        (3, np.int8(4), "values differ at 1"),
        (300, np.int8(44), "dtype int8 instead of int64"),
        (2.5, np.int64(2), "dtype int64 instead of float64"),
        (1, np.bool_(True), "dtype bool instead of int64"),
        (1e300, np.float32(np.inf), "dtype float32 instead of float64"),
        (0.5, np.float32(0.6), "values differ, relative error"),
    ],
)
def test_a_number_has_no_type_but_its_value(tmp_path: Path, number: Any, actual: Any, told: str) -> None:
    found = difference(held(tmp_path, [{"outputs[0]": X, "outputs[1]": number}], [[X, actual]], numbers=(1,)))
    assert found.startswith(f"outputs[1]: {told}") if told else not found


def test_what_is_none_for_some_inputs_no_artifact_has(tmp_path: Path) -> None:
    native = [{"outputs.x": X}, {"outputs.aux": X}]
    told = (
        "probe 'other': natively there is outputs.aux, and on the example there is not; "
        "natively there is no outputs.x, and on the example there is"
    )
    assert difference(held(tmp_path, native, [[X], [X]])) == told
    assert difference(held(tmp_path, native, [[X], [X]], own=True)) == ""


def test_another_order_on_another_input_is_told(tmp_path: Path) -> None:
    native = [{"outputs.a": X, "outputs.b": X}, {"outputs.b": X, "outputs.a": X}]
    told = "probe 'other': natively the order is outputs.b, outputs.a, and on the example another"
    assert difference(held(tmp_path, native, [[X, X]] * 2)) == told


def test_complex_and_empty_outputs(tmp_path: Path) -> None:
    native = {"outputs.z": X + 1j * Y, "outputs.none": X[:, :0]}
    assert difference(held(tmp_path, [native], [[X + 1j * Y, X[:, :0]]])) == ""
    assert "outputs.z: dtype float32 instead of complex64" in difference(held(tmp_path, [native], [[X, X[:, :0]]]))
    assert "outputs.none: shape [2, 3] instead of [2, 0]" in difference(held(tmp_path, [native], [[X + 1j * Y, X]]))
    found = held(tmp_path, [native], [[X + 1.5j * Y, X[:, :0]]])
    assert difference(found).startswith("outputs.z: values differ, relative error")
    assert found.errors["example"][1]["relative_error"] == 0.0
