"""The same bits everywhere: golden values, bounds, and streams that differ."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.bits import integers, uniform, words

SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
SEEDS = st.one_of(st.integers(0, 2**40), st.text(max_size=10))
BOUNDS = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def test_uniform_keeps_its_bits() -> None:
    assert uniform((3,)).tolist() == [-0.45855915546417236, 0.6550611257553101, 0.5897804498672485]
    assert uniform((2, 2), seed="x", low=0.0, high=10.0).tolist() == [
        [8.461681365966797, 5.152859687805176],
        [6.869669437408447, 6.434760570526123],
    ]


def test_integers_keep_their_values() -> None:
    assert integers((6,), low=-3, high=4, seed=7).tolist() == [-2, 2, 1, 1, 0, 3]


def test_the_words_are_those_of_splitmix64() -> None:
    """Against the published algorithm in plain integers."""
    state = int.from_bytes(hashlib.sha256(b"uniform|5|0").digest()[:8], "little")
    for value in uniform((5,)).tolist():
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        z ^= z >> 31
        assert value == (z >> 40) * 2.0**-24 * 2.0 - 1.0


def test_a_large_array_keeps_its_digest() -> None:
    digest = hashlib.sha256(uniform((64, 3, 7, 7), seed="weight 0").tobytes()).hexdigest()
    assert digest[:16] == "002d26bed2e1bc77"


@given(shape=SHAPES, seed=SEEDS, low=BOUNDS, width=st.floats(0.0, 1e6, width=32))
def test_uniform_is_of_its_shape_and_within_its_bounds(
    shape: tuple[int, ...], seed: int | str, low: float, width: float
) -> None:
    drawn = uniform(shape, seed=seed, low=low, high=low + width)
    assert drawn.dtype == np.float32
    assert drawn.shape == shape
    assert ((drawn >= np.float32(low)) & (drawn <= np.float32(low + width))).all()


@given(shape=SHAPES, seed=SEEDS, low=st.integers(-(2**20), 2**20), width=st.integers(1, 2**20))
def test_integers_are_of_their_shape_and_within_their_bounds(
    shape: tuple[int, ...], seed: int | str, low: int, width: int
) -> None:
    drawn = integers(shape, low=low, high=low + width, seed=seed)
    assert drawn.dtype == np.int64
    assert drawn.shape == shape
    assert ((drawn >= low) & (drawn < low + width)).all()


@given(shape=SHAPES, seed=SEEDS)
def test_equal_arguments_give_equal_bits(shape: tuple[int, ...], seed: int | str) -> None:
    assert uniform(shape, seed=seed).tobytes() == uniform(shape, seed=seed).tobytes()
    first, second = (integers(shape, low=0, high=100, seed=seed) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@given(seeds=st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True))
def test_different_seeds_give_different_values(seeds: list[int]) -> None:
    one, other = (uniform((16,), seed=seed) for seed in seeds)
    assert (one != other).any()


def test_different_shapes_of_one_size_give_different_values() -> None:
    drawn: list[Any] = [uniform(shape, seed=1).ravel() for shape in ((12,), (3, 4), (4, 3), (1, 12), (2, 2, 3))]
    for index, one in enumerate(drawn):
        for other in drawn[index + 1 :]:
            assert (one != other).any()


def test_values_are_spread_evenly() -> None:
    drawn = uniform((100_000,), seed="spread")
    assert abs(float(drawn.mean())) < 0.01
    assert abs(float(drawn.std()) - 3**-0.5) < 0.01


@pytest.mark.parametrize(("low", "high"), [(3, 3), (4, 3)])
def test_an_empty_range_is_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="low < high"):
        integers((2,), low=low, high=high)


@given(count=st.integers(0, 50), start=st.integers(0, 2**40))
def test_words_can_be_had_in_parts(count: int, start: int) -> None:
    whole = words("parts", count + 7, start=start)
    parts = [words("parts", 7, start=start), words("parts", count, start=start + 7)]
    assert whole.tolist() == [word for part in parts for word in part.tolist()]
