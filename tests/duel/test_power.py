"""What a design finds, by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from harness.duel.power import power
from harness.duel.sequential import Design
from harness.duel.statistics import p_above


def test_all_shares_make_one_and_the_seed_decides() -> None:
    made = power(0.06, 0.05, cells=23, repetitions=300)
    assert made.slower + made.faster + made.equal + made.inconclusive == pytest.approx(1.0)
    assert made == power(0.06, 0.05, cells=23, repetitions=300)
    assert made != power(0.06, 0.05, cells=23, repetitions=300, seed=1)


def test_more_effect_is_found_more_often_and_more_noise_or_cells_less() -> None:
    found = [power(0.06, effect, cells=23, repetitions=300).slower for effect in (0.0, 0.05, 0.10, 0.15)]
    assert found == sorted(found)
    assert found[0] == 0.0
    assert found[-1] > 0.95
    assert power(0.03, 0.05, cells=23, repetitions=300).slower > found[1]
    assert power(0.06, 0.05, cells=200, repetitions=300).slower < found[1]


def test_where_there_is_one_look_it_is_the_tests_own_power() -> None:
    design = Design(looks=(24,))
    drawn = np.random.default_rng(0).normal(np.log(1.05), 0.05, (4000, 24))
    expected = np.mean(p_above(drawn, float(np.log(1.02))) <= 0.05)
    made = power(0.05, 0.05, design=design, repetitions=4000, seed=1)
    assert made.slower == pytest.approx(expected, abs=0.05)
    assert made.pairs == 24


def test_noise_may_be_that_of_a_duel_whose_own_shift_does_not_count() -> None:
    seen = np.random.default_rng(0).normal(0.5, 0.02, 200).tolist()
    made = power(seen, 0.10, cells=23, repetitions=300)
    assert made.slower > 0.99
    assert power(seen, 0.0, cells=23, repetitions=300).equal > 0.99
    assert made.pairs < 16
