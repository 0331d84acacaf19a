"""The test, its estimate and its interval, against scipy's, by their properties and by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.duel.statistics import centre, interval, p_above, p_below
from tests.duel.machines import MACHINES

DIFFERENCES = st.lists(st.floats(-0.5, 0.5, width=32), min_size=1, max_size=14)
BOUNDS = st.floats(-0.3, 0.3)


@pytest.mark.parametrize("pairs", [1, 2])
def test_ranks_of_few_pairs_are_not_cut_so_that_it_is_wilcoxons_test(pairs: int) -> None:
    values = np.random.default_rng(0).normal(0.01, 0.02, pairs)
    wilcoxon = stats.wilcoxon(values, alternative="greater", method="exact").pvalue
    assert p_above(values, 0.0) == pytest.approx(wilcoxon)


@pytest.mark.parametrize("pairs", [3, 6, 11])
def test_the_p_value_is_that_of_all_signs_gone_through(pairs: int) -> None:
    values = np.random.default_rng(pairs).normal(0.01, 0.02, pairs)
    scores = np.minimum(stats.rankdata(np.abs(values)), math.ceil(0.4 * pairs))
    seen = scores[values > 0].sum()
    sums = [np.dot(signs, scores) for signs in itertools.product((0, 1), repeat=pairs)]
    assert p_above(values, 0.0) == pytest.approx(np.mean([each >= seen for each in sums]))


@given(DIFFERENCES, BOUNDS)
def test_the_other_side_says_the_opposite(differences: list[float], bound: float) -> None:
    turned = [-each for each in differences]
    assert p_above(differences, bound) == p_below(turned, -bound)
    assert centre(differences) == pytest.approx(-centre(turned))
    low, high = interval(differences, 0.05)
    low_turned, high_turned = interval(turned, 0.05)
    assert (low, high) == pytest.approx((-high_turned, -low_turned))


@given(DIFFERENCES, BOUNDS, st.floats(0.0, 0.2))
def test_more_is_asked_of_a_higher_bound(differences: list[float], bound: float, rise: float) -> None:
    assert p_above(differences, bound + rise) >= p_above(differences, bound)


@given(DIFFERENCES, BOUNDS, st.data())
def test_a_slower_pair_is_never_less_evidence_of_slower(
    differences: list[float], bound: float, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(differences) - 1))
    slower = [*differences]
    slower[index] += data.draw(st.floats(0.0, 0.5))
    assert p_above(slower, bound) <= p_above(differences, bound)


@given(DIFFERENCES, BOUNDS)
def test_the_order_of_pairs_does_not_count(differences: list[float], bound: float) -> None:
    assert p_above(differences, bound) == p_above(sorted(differences), bound)


@pytest.mark.parametrize("pairs", [5, 6, 12, 24])
@pytest.mark.parametrize("error", [0.05, 0.01])
def test_the_interval_ends_where_the_test_begins_to_reject(pairs: int, error: float) -> None:
    values = np.random.default_rng(pairs).normal(0.0, 0.03, (20, pairs))
    for row, low, high in zip(values, *interval(values, error), strict=True):
        if 2.0**-pairs > error:
            assert (low, high) == (-np.inf, np.inf)
            continue
        assert p_above(row, low - 1e-9) <= error < p_above(row, low + 1e-9)
        assert p_below(row, high + 1e-9) <= error < p_below(row, high - 1e-9)
        assert low <= centre(row) <= high


def test_ties_make_it_more_careful() -> None:
    # Nothing above the bound, and nothing below it either.
    assert p_above([0.02] * 8, 0.02) == p_below([0.02] * 8, 0.02) == 1.0
    # Of +1 and -1, which are equally far, neither gains by the order in which they are sorted.
    assert p_above([0.01, -0.01], 0.0) == p_below([0.01, -0.01], 0.0) == 0.75


def test_no_pair_in_the_far_distance_moves_the_estimate_far() -> None:
    values = [0.01, 0.02, 0.0, 0.015, 0.005, 0.01, 0.02, 0.0, 0.015, 0.005, 0.01]
    assert centre([*values, 5.0]) == pytest.approx(0.01, abs=0.005)


@pytest.mark.parametrize("machine", MACHINES)
def test_it_errs_no_more_often_than_it_says_on_any_machine(machine: str) -> None:
    values = MACHINES[machine](np.random.default_rng(1), (4000, 12))
    low, high = interval(values, 0.05)
    # Four standard deviations of what is counted.
    assert np.mean(p_above(values, 0.0) <= 0.05) <= 0.05 + 0.014
    assert np.mean((low <= 0) & (high >= 0)) >= 0.9 - 0.019


def test_where_launches_are_slowed_it_finds_what_a_t_test_does_not() -> None:
    values = MACHINES["1 %, a launch in ten slowed"](np.random.default_rng(2), (500, 24)) + math.log(1.1)
    found = np.mean(p_above(values, 0.0) <= 0.01)
    by_t = np.mean(stats.ttest_1samp(values, 0.0, axis=-1, alternative="greater").pvalue <= 0.01)
    assert found > 0.9
    assert by_t < 0.5
