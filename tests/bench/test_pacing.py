"""Warming up: until calls take equally long, whatever the first ones cost. And who else keeps the machine busy."""

from __future__ import annotations

import itertools
import subprocess
import sys
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


SERVES = """
import subprocess, sys
from harness.bench import pacing

before = pacing.session_s()
code = "import time\\nwhile time.process_time() < 0.6: pass\\nprint(1, flush=True); time.sleep(60)"
elsewhere = sys.argv[1] == "True"
service = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=elsewhere)
service.stdout.readline()
print(pacing.session_s() - before)
service.kill()
"""


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_service_that_a_serving_process_has_started_is_nobody_else(elsewhere: bool) -> None:
    command = [sys.executable, "-c", SERVES, str(elsewhere)]
    serving = subprocess.run(command, stdout=subprocess.PIPE, start_new_session=True, timeout=60, check=True)
    spent = float(serving.stdout)
    assert spent < 0.3 if elsewhere else spent > 0.5
