"""What pairs of the harness and a loop by hand come to, and when there are enough of them."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from harness.bench.registry import discover
from tests.benchmarks import agreement, loops
from tests.benchmarks.agreement import Pair, Series, agreement_of, told
from tests.benchmarks.memory_bars import Taken, memory_of


def pairs(*ratios: float) -> list[Pair]:
    return [Pair(model="own:dense-tiny", strategy="native", harness_s=4e-6 * r, loop_s=4e-6) for r in ratios]


def series(file: Path, *ratios: float) -> Series:
    ready = mock.Mock(registry=discover(), cell=mock.Mock(strategy="native"))
    found = Series(file, mock.Mock(cells={("own:dense-tiny", "native"): ready}))
    for pair in pairs(*ratios):
        found.add(pair)
    return found


def test_the_median_over_pairs_is_told_with_its_interval() -> None:
    found = agreement_of(pairs(1.02, 1.01, 1.03, 1.02, 1.5, 1.02, 1.01, 1.03, 1.02, 1.02), "torch")
    assert found.share == pytest.approx(0.02)
    assert found.lower <= 0.02 <= found.upper < 0.5
    assert "| torch | dense-tiny | 4 µs | +2.0 % |" in told([found], within=3.0)


@pytest.mark.parametrize(("ratio", "beyond"), [(1.05, True), (0.95, True), (1.02, False)])
def test_what_differs_by_more_than_the_bar_is_marked_either_way(ratio: float, beyond: bool) -> None:
    found = agreement_of(pairs(*[ratio] * 10), "torch")
    assert ("**beyond**" in told([found], within=3.0)) == beyond
    assert "**beyond**" not in told([replace(found, call_s=1.2e-6)], within=3.0)


def test_pairs_are_taken_until_there_are_enough_and_their_interval_says(tmp_path: Path) -> None:
    how: dict[str, Any] = {"within": 3.0, "fewest": 10, "most": 12}
    assert series(tmp_path / "few", *[1.0] * 9).undecided(**how)
    assert not series(tmp_path / "inside", *[1.0] * 10).undecided(**how)
    assert not series(tmp_path / "outside", *[1.1] * 10).undecided(**how)
    torn = [1.0, 1.1] * 6
    assert series(tmp_path / "torn", *torn[:10]).undecided(**how)
    assert not series(tmp_path / "spent", *torn).undecided(**how)


def test_a_series_goes_on_with_the_pairs_that_it_has(tmp_path: Path) -> None:
    series(tmp_path / "file", 1.0, 1.1)
    again = series(tmp_path / "file", 1.2)
    assert [round(math.exp(each.difference), 6) for each in again.pairs["own:dense-tiny", "native"]] == [1.0, 1.1, 1.2]


@pytest.mark.alone
def test_a_loop_by_hand_takes_the_median_over_rounds_of_ten_milliseconds() -> None:
    def run(count: int) -> None:
        until = time.perf_counter() + count * 300e-6
        while time.perf_counter() < until:
            pass

    found = loops.timed(run, 0.2)
    assert found["call_s"] == pytest.approx(300e-6, rel=0.05)
    assert found["calls"] * found["call_s"] >= loops.ROUND_S * 0.95


def test_each_strategy_that_is_held_against_a_loop_has_one() -> None:
    strategies = discover().strategies
    assert {strategies[name].declared.runtime for name in agreement.STRATEGIES} == set(loops.LOOPS)


def test_the_memory_of_a_cell_is_the_median_over_its_launches() -> None:
    taken = [
        Taken(table="same 0", model="lstm", strategy="native", moment="", mb=0.0, timing={"rss_peak_mb": peak})
        for peak in (300.0, 330.0, 301.0)
    ]
    assert memory_of({("lstm", "native"): taken}) == {("lstm", "native"): 301.0}
