"""A cell's own threshold, and the false-alarm rate that was measured."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.duel.thresholds import LEAST, UNMEASURED, alarm_rate, bound_of, threshold_of

QUIET = np.random.default_rng(0).normal(0.0, 0.002, 12).tolist()
NOISY = np.random.default_rng(1).normal(0.0, 0.05, 12).tolist()


def test_a_quiet_cell_has_the_least_threshold_and_a_noisy_one_what_its_duels_do_not_exclude() -> None:
    assert threshold_of([QUIET]) == LEAST
    assert threshold_of([NOISY]) > 0.015
    assert threshold_of([QUIET, NOISY]) == threshold_of([NOISY])


def test_what_all_pairs_of_a_duel_have_in_common_counts_either_way() -> None:
    biased = [each + math.log1p(0.04) for each in QUIET]
    assert threshold_of([biased]) == pytest.approx(0.04, abs=0.005)
    assert threshold_of([[-each for each in biased]]) == pytest.approx(threshold_of([biased]))
    # Pooled with a duel that is not biased it would go under.
    assert threshold_of([biased, QUIET, QUIET]) == threshold_of([biased])


@pytest.mark.parametrize("duels", [[], [[]], [[0.5, -0.5, 0.1]]])
def test_too_few_pairs_are_none(duels: list[list[float]]) -> None:
    assert threshold_of(duels) == UNMEASURED
    assert threshold_of([*duels, QUIET]) == LEAST


def test_a_limit_counts_where_it_is_more_than_the_threshold() -> None:
    assert bound_of() == UNMEASURED
    assert bound_of(threshold=0.03) == 0.03
    assert bound_of(threshold=0.03, limit=0.1) == 0.1
    assert bound_of(threshold=0.08, limit=0.05) == 0.08
    assert bound_of(limit=0.0) == UNMEASURED


def test_the_rate_of_alarms_is_told_with_what_it_may_be_at_most() -> None:
    none = alarm_rate(0, 150)
    # The rule of three, exactly.
    assert none.at_most == pytest.approx(1 - 0.05 ** (1 / 150))
    assert alarm_rate(1, 150).at_most > none.at_most
    assert alarm_rate(0, 0).at_most == 1.0
