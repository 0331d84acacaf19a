"""How calls are timed: warmed up until they are steady, then in rounds that a clock can tell apart.

A round is as many calls as take 100 microseconds and more: below that the clock and the loop around a call have a say.
pytest-benchmark would calibrate by the first calls, of which a cold one misleads it; so this counts how long a call
takes once it is warm. Nothing here imports anything but the standard library, and nothing starts a thread.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter  # bound before a runtime is loaded, which may put another in its place
from typing import Any

ROUND_S = 100e-6
_FEWEST_ROUNDS, _MOST_ROUNDS = 5, 2000

_FEWEST_CALLS = 3
"""First-call costs are not always over with the first call."""

_WINDOW_S = 0.01
"""What a window of warm-up calls takes, or one call where that takes longer."""

_WINDOWS = 6
"""The windows that are looked at: the later half of them is held against the earlier one."""

_STEADY = 0.05
"""By how much the two halves may differ."""

_PATIENCE = 4
"""How many times as long as it is timed may be warmed up."""


class FrozenClockError(RuntimeError):
    """The clock stood still while calls were timed, so that there is no latency to tell."""


@dataclass(frozen=True)
class WarmUp:
    """What warming up came to. `call_s` is what a call takes by now, in seconds.

    `steady` is None where calls are too slow for it to be told in time.
    """

    calls: int
    seconds: float
    call_s: float
    steady: bool | None


def warm_up(call: Callable[[], Any], *, measure_s: float) -> WarmUp:
    """Call until the calls take equally long, for at most four times `measure_s` seconds, and three times at least.

    Windows of 10 ms are held against one another: steady is what has medians of the last three windows and of the three
    before within 5 %. The first call is in none of them, and its time is not counted: on a GPU it may search for
    algorithms, or compile, for longer than all others take. Raises `FrozenClockError` where no call took any time.
    """
    began = perf_counter()
    call()
    patient_from = perf_counter()
    windows: list[float] = []
    calls = 1
    while True:
        window = perf_counter()
        taken: list[float] = []
        while not taken or perf_counter() - window < _WINDOW_S:
            before = perf_counter()
            call()
            taken.append(perf_counter() - before)
            if len(taken) >= _FEWEST_CALLS:
                check_clock(taken)  # a clock that stands still would never come to the end of a window
        calls += len(taken)
        windows.append(statistics.median(taken))
        if calls >= _FEWEST_CALLS:
            steady = is_steady(windows)
            now = perf_counter()
            if steady or now - patient_from > _PATIENCE * measure_s:
                return WarmUp(calls, now - began, max(statistics.median(windows[-3:]), 1e-9), steady)


def most_s(measure_s: float) -> float:
    """Seconds that warming up and timing may take together, but for calls so slow that a few of them take longer."""
    return (_PATIENCE + 1) * measure_s


def is_steady(windows: Sequence[float]) -> bool | None:
    """Whether the last windows take as long as those before them; None where there are too few to tell."""
    if len(windows) < _WINDOWS:
        return None
    last = windows[-_WINDOWS:]
    before, after = (statistics.median(half) for half in (last[: _WINDOWS // 2], last[_WINDOWS // 2 :]))
    return abs(after / before - 1) <= _STEADY if before > 0 else False


@dataclass(frozen=True)
class Rounds:
    """How many rounds are timed, and of how many calls each."""

    rounds: int
    calls: int


def rounds_for(call_s: float, measure_s: float) -> Rounds:
    """As many rounds as `measure_s` holds of calls that take `call_s`: at most 2000, so that each may hold more calls.

    A round takes 100 microseconds at least. There are five at least, however slow a call is.
    """
    calls = max(1, math.ceil(ROUND_S / call_s), math.ceil(measure_s / (_MOST_ROUNDS * call_s)))
    return Rounds(min(_MOST_ROUNDS, max(_FEWEST_ROUNDS, int(measure_s / (calls * call_s)))), calls)


def round_of(call: Callable[[], Any], calls: int) -> Callable[[], Any]:
    """A function that calls so many times, one call after the other, and returns what the last one returned.

    The loop belongs here: whoever calls by `*args` and `**kwargs`, as `benchmark.pedantic` does with each iteration,
    adds 100 ns to a call, which is 3 % of one of three microseconds.
    """
    before_the_last = range(calls - 1)

    def run() -> Any:
        for _ in before_the_last:
            call()
        return call()

    return run


def check_clock(spent: Sequence[float]) -> None:
    """No call takes 0 s: perf_counter counts nanoseconds. Raises `FrozenClockError`."""
    if not any(spent):
        msg = f"the clock stood still over {len(spent)} calls: something replaced time.perf_counter, or froze it"
        raise FrozenClockError(msg)


def drift_of(rounds: Sequence[float]) -> float | None:
    """By how much the later half of the rounds takes longer than the earlier one, as a share; None of fewer than 8."""
    if len(rounds) < 8:  # noqa: PLR2004 - of fewer the halves' medians say nothing
        return None
    half = len(rounds) // 2
    before, after = statistics.median(rounds[:half]), statistics.median(rounds[-half:])
    return after / before - 1 if before > 0 else None


class Busyness:
    """How much of this machine others used meanwhile, by /proc/stat and the times of this process's own session.

    In a container the figures are the whole machine's, which is what has a say.
    """

    def __init__(self) -> None:
        self._began = perf_counter()
        self._before = _used_s()

    def share(self) -> float | None:
        """Cores that others kept busy since this was made, steal included; None where the kernel does not tell."""
        now, elapsed = _used_s(), perf_counter() - self._began
        if self._before is None or now is None or elapsed <= 0:
            return None
        return max(0.0, (now - self._before) / elapsed)


def _used_s() -> float | None:
    """Seconds of all cores that were not idle, less those of this session."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()
    except OSError:
        return None
    if len(line) < 9 or line[0] != "cpu":  # noqa: PLR2004 - up to `steal`
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(value) for value in line[1:9])
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq + steal) / ticks - session_s()


def session_s() -> float:
    """Processor seconds of the processes of this session: a serving process leads its own, and may have a service."""
    session, spent = os.getsid(0), 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(told[3]) == session:
            spent += int(told[11]) + int(told[12])
    return spent / os.sysconf("SC_CLK_TCK")
