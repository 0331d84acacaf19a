"""Probes made from an example: its values in another order, the same everywhere."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.bench.bits import integers, uniform
from harness.bench.probes import derived

EXAMPLE: dict[str, Any] = {
    "ids": integers((2, 9), low=0, high=60, seed="ids"),
    "scale": uniform((2, 1), seed="scale"),
    "mask": np.array([[True] * 5 + [False] * 4] * 2),
    "flag": np.array(True),
}


def test_two_probes_hold_the_example_s_values_in_other_orders() -> None:
    made = derived(EXAMPLE)
    assert list(made) == ["permuted-1", "permuted-2"]
    for probe in made.values():
        assert list(probe) == list(EXAMPLE)
        for name, value in EXAMPLE.items():
            assert (probe[name].dtype, probe[name].shape) == (value.dtype, value.shape)
            assert sorted(probe[name].ravel().tolist()) == sorted(value.ravel().tolist())
        assert probe["ids"].tolist() != EXAMPLE["ids"].tolist()
    assert made["permuted-1"]["ids"].tolist() != made["permuted-2"]["ids"].tolist()


def test_they_are_the_same_bits_everywhere() -> None:
    made = derived({"x": uniform((3, 50), seed="golden")})
    digests = [hashlib.sha256(probe["x"].tobytes()).hexdigest()[:16] for probe in made.values()]
    assert digests == ["74cde0643d56b4ec", "3f12aad8d9552b32"]
    renamed = derived({"another name": uniform((3, 50), seed="golden")})
    assert renamed["permuted-1"]["another name"].tobytes() == made["permuted-1"]["x"].tobytes()


def test_inputs_of_one_shape_are_not_put_into_one_order() -> None:
    values = np.arange(30)
    (probe, *_) = derived({"a": values, "b": values}).values()
    assert probe["a"].tolist() != probe["b"].tolist()


def test_an_example_is_left_as_it_was() -> None:
    value = np.asfortranarray(np.arange(12).reshape(3, 4))
    before = value.copy()
    assert len(derived({"x": value})) == 2
    np.testing.assert_array_equal(value, before)


@pytest.mark.parametrize("value", [np.zeros((4, 4)), np.ones(1), np.zeros((0, 3)), np.array(3), np.full(5, np.nan)])
def test_there_is_no_other_order_of_one_value(value: Any) -> None:
    assert derived({"x": value}) == {}


def test_two_values_have_one_other_order() -> None:
    made = derived({"x": np.array([1.0, 2.0])})
    assert [probe["x"].tolist() for probe in made.values()] == [[2.0, 1.0]]


def test_one_input_that_can_differ_is_enough() -> None:
    made = derived({"steps": np.array(3), "x": np.arange(8.0)})
    assert [probe["steps"].tolist() for probe in made.values()] == [3, 3]
    assert len(made) == 2


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.int64, np.bool_, np.complex64]),
        arrays.array_shapes(max_dims=3, max_side=4, min_side=0),
    )
)
def test_no_probe_equals_the_example_or_another(value: Any) -> None:
    made = [probe["x"].tobytes() for probe in derived({"x": value}).values()]
    assert len({value.tobytes(), *made}) == len(made) + 1
    assert {bytes(sorted(each)) for each in made} <= {bytes(sorted(value.tobytes()))}
