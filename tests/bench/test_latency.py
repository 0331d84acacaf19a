"""What timed launches come to, and what speaks against a latency."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from harness.bench.latency import BUSY_CORES, SPREAD, doubts_of, latency, quartiles


def launch(*samples_s: float, **values: Any) -> dict[str, Any]:
    quiet = {"calls": 10, "steady": True, "drift": 0.0, "busy_cores": 0.0}
    return {"samples_s": list(samples_s), **quiet, **values}


def test_a_latency_is_the_median_of_the_launches_medians_and_not_of_their_samples() -> None:
    slow, *fast = launch(3.0, 3.0, 3.0, 3.0, 9.0), launch(1.0, 1.0, 1.1), launch(1.0, 1.2, 1.4)
    columns = latency([slow, *fast])
    assert columns["latency_ms"] == 1200
    assert columns["latency_spread"] == pytest.approx((3.0 - 1.0) / 1.2)
    assert (columns["launches"], columns["iterations"]) == (3, 110)
    assert columns["latency_quality"] == "spread"


def test_quartiles_of_a_launch_are_those_of_its_rounds() -> None:
    found = quartiles([4.0, 1.0, 2.0, 3.0])
    assert found == (1.75, 2.5, 3.25)
    assert found.median_s == statistics.median([1.0, 2.0, 3.0, 4.0])
    assert quartiles([0.5]) == (0.5, 0.5, 0.5)


def test_one_launch_has_no_spread_and_what_was_not_timed_no_latency() -> None:
    assert "latency_spread" not in latency([launch(1.0, 2.0)])
    assert latency([launch()]) == {}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, []),
        ({"steady": None, "drift": None, "busy_cores": None}, []),
        ({"busy_cores": BUSY_CORES}, []),
        ({"busy_cores": BUSY_CORES + 0.01}, ["busy"]),
        ({"gpu_use": None}, []),
        ({"gpu_use": "exclusive"}, []),
        ({"gpu_use": "exclusive before and after"}, []),
        ({"gpu_use": "shared: 1 process of others"}, ["shared"]),
        ({"gpu_use": "unknown: NVML sees no GPU", "busy_cores": 1.0}, ["busy", "shared"]),
        ({"steady": False}, ["unsteady"]),
        ({"drift": -SPREAD - 0.01, "busy_cores": 1.0}, ["busy", "drift"]),
    ],
)
def test_what_speaks_against_a_launch_is_told_in_words(values: dict[str, Any], words: list[str]) -> None:
    assert doubts_of(launch(1.0, 1.0, **values)) == words
    assert latency([launch(1.0, 1.0), launch(1.0, 1.0, **values)]).get("latency_quality", "") == ", ".join(words)
