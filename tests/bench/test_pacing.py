"""Warming up: until calls take equally long, whatever the first ones cost."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable

import pytest

from harness.bench import pacing

MEASURE_S = 0.2


def taking(seconds: Iterable[float]) -> Callable[[], None]:
    """A call that takes so long the first time, so long the second one, and so on."""
    left = iter(seconds)
    return lambda: time.sleep(next(left))


@pytest.mark.parametrize("first_s", [0.001, 1.0])
def test_a_first_call_that_searches_for_algorithms_has_no_say_in_how_long_a_call_takes(first_s: float) -> None:
    warm = pacing.warm_up(taking(itertools.chain([first_s], itertools.repeat(0.002))), measure_s=MEASURE_S)
    assert warm.call_s < 0.02
    assert warm.steady is not None, "its time is none of the patience"
    assert warm.seconds > first_s
    assert pacing.rounds_for(warm.call_s, MEASURE_S).rounds >= 5


def test_calls_that_get_faster_one_by_one_are_waited_for() -> None:
    slow = [0.03 - 0.002 * index for index in range(10)]
    warm = pacing.warm_up(taking(itertools.chain([0.03], slow, itertools.repeat(0.004))), measure_s=1.0)
    assert warm.calls > len(slow)
    assert warm.call_s < 0.012


def test_a_call_that_is_slower_than_the_patience_is_called_three_times() -> None:
    warm = pacing.warm_up(taking(itertools.repeat(0.15)), measure_s=0.01)
    assert (warm.calls, warm.steady) == (3, None)
    assert warm.call_s == pytest.approx(0.15, rel=0.3)
