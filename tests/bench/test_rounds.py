"""Rounds of calls: as many calls as were asked for, and what a launch keeps of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.bench.children import Done
from harness.bench.launching import launch_of
from harness.bench.pacing import round_of
from harness.bench.progress import Trail
from harness.bench.requests import BENCHMARK_FILE


@pytest.mark.parametrize("calls", [1, 2, 40])
def test_a_round_calls_so_often_and_returns_what_the_last_call_did(calls: int) -> None:
    made: list[int] = []

    def call() -> int:
        made.append(len(made))
        return made[-1]

    of_calls = round_of(call, calls)
    assert (of_calls(), of_calls()) == (calls - 1, 2 * calls - 1)
    assert len(made) == 2 * calls


def test_a_launch_keeps_what_a_call_took_and_not_what_a_round_did(tmp_path: Path) -> None:
    timed = {"benchmarks": [{"stats": {"data": [1e-3, 2e-3]}}]}
    (tmp_path / BENCHMARK_FILE).write_text(json.dumps(timed), encoding="utf-8")
    trail = Trail(stages=(), result={"timing": {"calls": 10, "steady": True}, "rss_peak_mb": 60.0})
    launch = launch_of(Done(trail, None, 1.0), tmp_path, started="2026-01-31T12:00:00Z")
    assert launch["samples_s"] == pytest.approx([1e-4, 2e-4])
    assert (launch["calls"], launch["rss_peak_mb"]) == (10, 60.0)
