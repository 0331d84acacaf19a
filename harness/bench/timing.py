"""What the launches of a cell were timed at."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from harness.bench.serve import BENCHMARK_FILE


def samples(folder: Path) -> list[float]:
    """The raw samples of a launch that served in `folder`, in seconds."""
    benchmark = folder / BENCHMARK_FILE
    if not benchmark.exists() or not benchmark.stat().st_size:
        return []
    data: list[float] = json.loads(benchmark.read_text(encoding="utf-8"))["benchmarks"][0]["stats"]["data"]
    return data


def latency(launches: Sequence[Sequence[float]]) -> dict[str, float | int]:
    """The columns that the samples of all launches, in seconds, make; none where nothing was timed.

    Latency is the median over launches of each launch's median, in milliseconds, and so is the interquartile range.
    """
    timed = [sorted(each) for each in launches if each]
    if not timed:
        return {}
    quartiles = [statistics.quantiles(each, n=4, method="inclusive") for each in timed]
    return {
        "latency_ms": statistics.median(statistics.median(each) for each in timed) * 1000,
        "latency_iqr_ms": statistics.median(q[2] - q[0] for q in quartiles) * 1000,
        "launches": len(timed),
        "iterations": sum(len(each) for each in timed),
    }
