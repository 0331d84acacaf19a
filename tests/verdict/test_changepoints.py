"""Change points of numbers: what they find, and how seldom they find what is not there."""

from __future__ import annotations

import csv
import importlib.util
import math
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.errors import UsageError
from harness.verdict.changepoints import ChangePoint, change_points, change_points_by

ROOT = Path(__file__).resolve().parents[2]
Noise = Callable[[np.random.Generator, int], np.ndarray]
"""Logarithms of values without a change."""


def normal(sd: float) -> Noise:
    return lambda random, n: random.normal(0, sd, n)


def odd_runs(share: float) -> Noise:
    """Noise of 2 %, and some runs that somebody disturbed."""
    return lambda random, n: random.normal(0, 0.02, n) + (random.random(n) < share) * random.exponential(0.7, n)


def two_states(share: float, apart: float) -> Noise:
    """A machine that is slower in some runs, by the same each time."""
    return lambda random, n: random.normal(0, 0.01, n) + (random.random(n) < share) * apart


def committed() -> Noise:
    """What the committed launches deviate from the median of their cell by; a run is the median of three."""
    deviations: list[float] = []
    for path in sorted((ROOT / "results").glob("*/*/*/launches.csv")):
        with path.open(newline="") as file:
            for _, rows in groupby(csv.DictReader(file), key=lambda row: (row["model"], row["strategy"])):
                logs = [math.log(float(row["latency_ms"])) for row in rows]
                deviations += [each - float(np.median(logs)) for each in logs]
    return lambda random, n: np.median(random.choice(deviations, (n, 3)), axis=1)


NOISES = {
    "1 %": normal(0.01),
    "2 %": normal(0.02),
    "10 %": normal(0.1),
    "heavy tails": lambda random, n: 0.05 * random.standard_t(2, n),
    "skewed": lambda random, n: random.exponential(0.05, n),
    "5 % odd": odd_runs(0.05),
    "10 % odd": odd_runs(0.1),
    "two states": two_states(0.3, 0.1),
    "two states, often": two_states(0.5, 0.1),
    "two states, far apart": two_states(0.2, 0.3),
    "coarse": lambda random, n: np.round(random.normal(0, 0.02, n), 2),
    "committed": committed(),
}


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_less_than_1_series_of_30_in_100_has_a_change_that_is_none(noise: Noise) -> None:
    random = np.random.default_rng(0)
    alarms = sum(bool(change_points(list(np.exp(noise(random, 30))))) for _ in range(1000))
    assert alarms < 10


@pytest.mark.parametrize("runs", [8, 15, 60])
@pytest.mark.parametrize("name", ["2 %", "5 % odd", "two states, often"])
def test_nor_have_shorter_and_longer_series(name: str, runs: int) -> None:
    random = np.random.default_rng(1)
    alarms = sum(bool(change_points(list(np.exp(NOISES[name](random, runs))))) for _ in range(500))
    assert alarms < 5


@pytest.mark.parametrize("at", [6, 15, 24])
@pytest.mark.parametrize("step", [1.1, 1 / 1.1])
def test_a_step_of_10_percent_in_noise_of_2_is_found_within_one_run(at: int, step: float) -> None:
    random = np.random.default_rng(2)
    found = 0
    for _ in range(200):
        values = 3 * np.exp(random.normal(0, 0.02, 30)) * np.where(np.arange(30) < at, 1, step)
        points = change_points(list(values))
        found += len(points) == 1 and abs(points[0].index - at) <= 1
        assert all(each.share == pytest.approx(step - 1, abs=0.05) for each in points[:1])
    assert found >= 190


def test_what_it_says() -> None:
    quiet = [2.0, 2.002, 1.998, 2.001, 1.999, 2.0, 2.0]
    assert change_points([*quiet, *(1.5 * value for value in quiet), *quiet]) == (
        ChangePoint(index=7, before=2.0, after=3.0),
        ChangePoint(index=14, before=3.0, after=2.0),
    )
    assert change_points([*quiet, *(1.005 * value for value in quiet)]) == ()
    assert change_points([2.0] * 30) == change_points([2.0]) == change_points([]) == ()
    one_odd = [*quiet, 9.0, *quiet]
    assert change_points(one_odd) == ()


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_what_is_no_time_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite values above 0"):
        change_points([1.0, value])


def test_machines_are_series_of_their_own() -> None:
    values = [2.0, 3.0] * 10
    assert change_points_by(values, ["a", "b"] * 10) == ()
    assert change_points([*[2.0] * 10, *[3.0] * 10]), "one series has a change"
    assert change_points_by([*[2.0] * 10, *[3.0] * 10], [*"a" * 10, *"b" * 10]) == ()


def test_indices_are_of_the_whole_and_what_was_not_measured_is_passed_over() -> None:
    values = [1.0, None, 5.0] * 8 + [2.0, None, 5.0] * 8
    found = change_points_by(values, ["a", "a", "b"] * 16)
    assert found == (ChangePoint(index=24, before=1.0, after=2.0),)
    assert change_points_by([*values, 0.0, math.nan], [*["a", "a", "b"] * 16, "a", "b"]) == found


@given(st.lists(st.tuples(st.sampled_from([1.0, 1.3, 2.0, 9.0]), st.integers(1, 12)), max_size=5), st.randoms())
def test_they_part_the_series(levels_of: list[tuple[float, int]], random: Random) -> None:
    values = [level * random.uniform(1, 1.02) for level, runs in levels_of for _ in range(runs)]
    found = change_points(values)
    starts = [0, *(each.index for each in found), len(values)]
    levels = [values[start:end] for start, end in pairwise(starts)]
    if found:
        assert all(len(level) >= 3 for level in levels)
    for each, (before, after) in zip(found, pairwise(levels), strict=True):
        assert (each.before, each.after) == (np.median(before), np.median(after))


@given(st.lists(st.sampled_from([1.0, 1.01, 1.02, 1.5, 4.0]), max_size=40), st.sampled_from([0.001, 8.0, 1024.0]))
def test_units_have_no_say(values: list[float], unit: float) -> None:
    assert [each.index for each in change_points([unit * value for value in values])] == [
        each.index for each in change_points(values)
    ]


@pytest.mark.parametrize(
    ("python", "told"),
    [((3, 13), "`pip install ruptures` has it"), ((3, 14), "which has no release for Python 3.14 yet")],
)
def test_where_there_is_no_ruptures_it_says_so(
    monkeypatch: pytest.MonkeyPatch, python: tuple[int, int], told: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("harness.verdict.changepoints.sys", SimpleNamespace(version_info=python))
    with pytest.raises(UsageError, match=re.escape(f"No change points are told without ruptures: {told}")):
        change_points([1.0] * 5 + [2.0] * 5)


def test_the_command_line_starts_without_them() -> None:
    code = "import sys, harness.cli, harness.verdict.changepoints; sys.exit('ruptures' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
