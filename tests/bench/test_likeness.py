"""Whether one side has a value of the other's, whatever its shape and layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.bench.likeness import Values, alike, relative_error

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype(np.float32)
STRANGE = np.array([1.0, np.nan, np.inf, 2.0], np.float32)


@pytest.mark.parametrize(
    "other",
    [
        IMAGE.copy(),
        IMAGE.reshape(6, 20),
        IMAGE.transpose(0, 2, 3, 1),
        IMAGE.transpose(0, 2, 3, 1).reshape(2, 5, 1, 4, 3),
        IMAGE * np.float32(1 + 5e-5),
    ],
)
def test_the_same_values_are_found_in_any_layout(other: Any) -> None:
    assert Values({"other": np.ones(120, np.float32), "it": other}, 1e-4).equal(IMAGE) == "it"


@pytest.mark.parametrize("other", [IMAGE * 1.01, IMAGE[::-1], np.sort(IMAGE, axis=None), np.zeros(120, np.float32)])
def test_other_values_are_not(other: Any) -> None:
    assert Values({"other": other}, 1e-4).equal(IMAGE) is None


def test_one_wrong_value_at_the_edge_is_seen() -> None:
    other = IMAGE.copy()
    other[0, 0, 0, 0] += 0.5
    assert Values({"other": other}, 1e-4).equal(IMAGE) is None


def test_what_is_no_number_has_to_stand_at_the_same_places() -> None:
    assert alike(STRANGE, STRANGE.copy(), 1e-4)
    assert not alike(STRANGE[[1, 0, 2, 3]], STRANGE, 1e-4)
    assert not alike(np.array([1.0, np.nan, -np.inf, 2.0]), STRANGE, 1e-4)
    assert relative_error(STRANGE, np.array([1.0, 1.0, 1.0, 1.0])) == float("inf")
    assert Values({"it": STRANGE}, 1e-4).equal(STRANGE.reshape(2, 2)) == "it"


def test_whole_numbers_are_equal_or_are_not() -> None:
    assert alike(np.array([10**9]), np.array([10**9], np.int32), 1e-4)
    assert not alike(np.array([10**9 + 1]), np.array([10**9]), 1e-4)


def test_the_nearest_is_brought_into_shape() -> None:
    near, far = IMAGE.copy(), IMAGE + 1
    near[..., 0] *= 0.9
    values = Values({"far": far, "near": near.transpose(0, 2, 3, 1), "left out": IMAGE, "small": near[0]}, 1e-4)
    found = values.nearest(IMAGE, {"far", "near", "small"})
    assert found is not None
    name, array, error = found
    assert name == "near"
    assert np.array_equal(array, near)
    assert error == pytest.approx(relative_error(near, IMAGE))
    assert values.nearest(IMAGE, {"small"}) is None
