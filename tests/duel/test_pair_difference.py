"""One number of one pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.duel.pairs import pair_difference

TURNS = st.lists(st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3)), min_size=1, max_size=12)


def test_it_is_the_median_over_blocks() -> None:
    pair = pair_difference([1.0, 2.0, 4.0], [1.1, 2.4, 4.4])
    assert pair.difference == pytest.approx(math.log(1.1))


@given(TURNS, st.floats(1e-3, 1e3))
def test_sides_may_be_swapped_and_units_changed(blocks: list[tuple[float, float]], unit: float) -> None:
    a, b = zip(*blocks, strict=True)
    pair = pair_difference(a, b)
    swapped = pair_difference(b, a)
    scaled = pair_difference([each * unit for each in a], [each * unit for each in b])
    assert swapped.difference == pytest.approx(-pair.difference)
    assert swapped.noise == pytest.approx(pair.noise)
    assert scaled.difference == pytest.approx(pair.difference, abs=1e-9)


def test_a_slowed_turn_and_drift_do_not_move_it() -> None:
    drift = np.exp(np.linspace(0.0, 0.5, 10))
    a, b = drift.tolist(), (1.1 * drift).tolist()
    a[3] *= 3
    b[7] *= 2
    assert pair_difference(a, b).difference == pytest.approx(math.log(1.1))


def test_its_noise_is_what_pairs_of_such_turns_vary_by() -> None:
    random = np.random.default_rng(0)
    pairs = [pair_difference(*np.exp(random.normal(0.0, 0.02, (2, 10))).tolist()) for _ in range(500)]
    seen = np.std([pair.difference for pair in pairs])
    assert np.mean([pair.noise for pair in pairs]) == pytest.approx(seen, rel=0.2)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([], [], "at least one"),
        ([1.0], [1.0, 2.0], "there are 1 and 2"),
        ([0.0], [1.0], "took no time"),
        ([1.0], [math.nan], "took no time"),
    ],
)
def test_what_is_no_pair_is_refused(a: list[float], b: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pair_difference(a, b)
