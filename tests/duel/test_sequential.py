"""Looks, and p values that hold at any of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.bench.errors import UsageError
from harness.duel.sequential import Design, p_values
from harness.duel.statistics import p_above, p_below
from tests.duel.machines import MACHINES


def test_the_error_is_spent_once_and_early() -> None:
    weights = Design().weights
    assert math.fsum(weights) == pytest.approx(1.0)
    assert weights == pytest.approx((0.3536, 0.1464, 0.2071, 0.2929), abs=1e-4)
    assert Design(looks=(12, 24, 48), spending=1).weights == pytest.approx((0.25, 0.25, 0.5))


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"looks": ()}, "rising"),
        ({"looks": (0, 6)}, "rising"),
        ({"looks": (12, 12)}, "rising"),
        ({"error": 0.0}, "between 0 and 1"),
        ({"equal_within": 0.0}, "above 0"),
        ({"looks": (4, 48)}, "take more pairs"),
        ({"spending": 1.0}, "smaller exponent"),
    ],
)
def test_a_design_that_cannot_decide_is_refused(design: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Design(**design)  # type: ignore[arg-type]


def test_a_p_value_is_the_smallest_so_far_over_its_looks_share_of_the_error() -> None:
    design = Design(looks=(6, 12), spending=1.0, error=0.1)
    values = np.random.default_rng(0).normal(0.01, 0.03, 12)
    found = p_values(values, design=design, slower_than=0.02, equal_within=0.05)
    first, second = (float(p_above(values[:look], math.log(1.02))) / 0.5 for look in (6, 12))
    assert found.slower.tolist() == pytest.approx([min(1, first), min(1, first, second)])
    within = math.log(1.05)
    equal = [float(max(p_above(values[:look], -within), p_below(values[:look], within))) / 0.5 for look in (6, 12)]
    assert found.equal.tolist() == pytest.approx([min(1, equal[0]), min(1, *equal)])


def test_only_looks_that_were_reached_count() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.03, 17)
    found = p_values(values, design=Design(), slower_than=0.02, equal_within=0.05)
    until_12 = p_values(values[:12], design=Design(), slower_than=0.02, equal_within=0.05)
    assert found.slower.tolist() == until_12.slower.tolist()
    assert p_values([0.1] * 5, design=Design(), slower_than=0.02, equal_within=0.05).slower.shape == (0,)


@pytest.mark.parametrize("machine", ["3 % noise", "1 %, a launch in ten slowed", "two kinds of launches, 8 % apart"])
def test_over_all_looks_no_claim_is_wrong_more_often_than_the_error(machine: str) -> None:
    drawn = MACHINES[machine](np.random.default_rng(0), (2000, 48))
    # At the edges of what is claimed, where errors are likeliest.
    at_bound = p_values(drawn + math.log(1.02), design=Design(), slower_than=0.02, equal_within=0.05)
    at_edge = p_values(drawn + math.log(1.05), design=Design(), slower_than=0.02, equal_within=0.05)
    four_deviations = 4 * math.sqrt(0.05 * 0.95 / 2000)
    assert np.mean(at_bound.slower[:, -1] <= 0.05) <= 0.05 + four_deviations
    assert np.mean(at_edge.equal[:, -1] <= 0.05) <= 0.05 + four_deviations
    # The bound is not so careful that nothing is ever wrong: it is the test that is held here.
    assert np.mean(at_bound.slower[:, -1] <= 0.05) > 0.005
