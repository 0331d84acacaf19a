"""Which input of an artifact gets which of the model's, and in which order outputs come."""

from __future__ import annotations

from typing import Any

import pytest

from harness.runtimes._feeding import fed, in_order
from harness.runtimes.tflite import _by_index

GIVEN = {"x": 1, "batch_ids": 2, "unused": 3}


def test_an_artifact_gets_what_it_has_by_name() -> None:
    assert fed(["batch_ids", "x"], GIVEN) == {"batch_ids": 2, "x": 1}
    assert fed([], GIVEN) == {}


def test_a_name_that_nobody_knows_is_told() -> None:
    told = "the artifact's input 'args_0' has no name of the model's inputs, which are 'x', 'batch_ids', 'unused'"
    with pytest.raises(RuntimeError, match=told):
        fed(["x", "args_0"], GIVEN)


def test_outputs_come_by_their_numbers() -> None:
    names = [f"output_{number}" for number in range(12)]
    assert in_order(sorted(names)) == names
    assert in_order(["whatever"]) == ["whatever"]
    assert in_order([]) == []


@pytest.mark.parametrize("names", [["b", "a"], ["output_0", "extra"], ["output_1", "other_1"]])
def test_outputs_without_an_order_are_told(names: list[str]) -> None:
    with pytest.raises(RuntimeError, match="the tool renamed them, and which is which is not certain"):
        in_order(names)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"x": 7, "batch_ids": 5}, {7: 1, 5: 2}),
        # litert-torch's, the second of which was dropped.
        ({"args_0": 4, "args_2": 6}, {4: 1, 6: 3}),
    ],
)
def test_a_lite_model_gets_its_inputs_by_name_or_by_number(names: dict[str, int], expected: dict[int, Any]) -> None:
    assert _by_index(names, GIVEN) == expected


@pytest.mark.parametrize("names", [{"args_0": 1, "x": 2}, {"args_3": 1}, {"y": 1}])
def test_a_lite_model_of_other_names_is_told(names: dict[str, int]) -> None:
    with pytest.raises(RuntimeError, match="has no name of the model's inputs"):
        _by_index(names, GIVEN)
