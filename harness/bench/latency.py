"""What the timed launches of a cell come to: its latency, and what speaks against it.

A launch is a mapping as `harness.bench.launching.launch_of` makes it. Nothing here imports anything but the standard
library, so that whoever reads what launches left can ask the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

QUALITIES = ("busy", "shared", "unsteady", "drift", "spread")
"""The words of the column `latency_quality`. The last is of several launches, the others are of one."""

EXCLUSIVE = "exclusive"
"""Begins what a launch says of the GPU's use where nobody else was seen on it."""

BUSY_CORES = 0.2
"""From how many cores that others keep busy a machine counts as busy."""

SPREAD = 0.1
"""From what spread over launches, and from what drift within one, a latency is to be taken with care."""


class Quartiles(NamedTuple):
    """The quartiles of what a call took in the rounds of one launch, in seconds."""

    q1_s: float
    median_s: float
    q3_s: float


def quartiles(samples_s: Sequence[float]) -> Quartiles:
    """The quartiles of one round or more, interpolated as the method `inclusive` of `statistics.quantiles` does."""
    if len(samples_s) == 1:
        return Quartiles(*samples_s, *samples_s, *samples_s)
    return Quartiles(*statistics.quantiles(samples_s, n=4, method="inclusive"))


def latency(launches: Sequence[Mapping[str, Any]]) -> dict[str, float | int | str]:
    """The columns that the launches of a cell make; none where nothing was timed.

    Latency is the median over launches of each launch's median, in milliseconds, and so is the interquartile range.
    """
    timed = [each for each in launches if each["samples_s"]]
    if not timed:
        return {}
    found = [quartiles(each["samples_s"]) for each in timed]
    medians = [each.median_s for each in found]
    middle = statistics.median(medians)
    columns: dict[str, float | int | str] = {
        "latency_ms": middle * 1000,
        "latency_iqr_ms": statistics.median(each.q3_s - each.q1_s for each in found) * 1000,
        "launches": len(timed),
        "iterations": sum(len(each["samples_s"]) * each.get("calls", 1) for each in timed),
    }
    doubts = {word for each in timed for word in doubts_of(each)}
    if len(timed) > 1:
        spread = columns["latency_spread"] = (max(medians) - min(medians)) / middle
        doubts |= {"spread"} if spread > SPREAD else set()
    if doubts:
        columns["latency_quality"] = ", ".join(word for word in QUALITIES if word in doubts)
    return columns


def doubts_of(launch: Mapping[str, Any]) -> list[str]:
    """What speaks against the latency of one launch, in the words of `QUALITIES`; nothing where nothing does."""
    told = {
        "busy": (launch.get("busy_cores") or 0.0) > BUSY_CORES,
        "shared": not (launch.get("gpu_use") or EXCLUSIVE).startswith(EXCLUSIVE),
        "unsteady": launch.get("steady") is False,
        "drift": abs(launch.get("drift") or 0.0) > SPREAD,
    }
    return [word for word, holds in told.items() if holds]
