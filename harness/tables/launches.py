"""`launches.csv`: the launches that a table's latencies are the medians of, a row each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from harness.bench.record import Record
from harness.tables.columns import about

FEWEST_LAUNCHES = 3
"""The fewest launches of a cell that have a middle and two ends, and so tell what its memory varies by."""

_COUNTS = ("rounds", "calls")

_ROUNDED_MS = 1.5e-6 + 1e-9
"""Half of the last digit of a latency, for it and for each of two figures that it may be made from."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One fresh serving process that was timed. None is "not measured" and is written as nothing, never as 0."""

    extension: str = field(
        metadata=about("what the strategy needs on top of the combination; empty where that is nothing")
    )
    model: str = field(metadata=about("name of the model"))
    strategy: str = field(metadata=about("name of the strategy, with the parameter it was bound to"))
    device: str = field(metadata=about("`cpu` or `cuda`: where the artifact was served"))
    launch: int = field(metadata=about("number of the launch among those of its cell, in the order of time, from 0"))
    started: str = field(metadata=about("when the process was started, in UTC"))
    latency_ms: float = field(
        metadata=about("median over rounds of what a call took, for the example input", unit="ms", digits=".6f")
    )
    q1_ms: float = field(metadata=about("lower quartile of the same", unit="ms", digits=".6f"))
    q3_ms: float = field(metadata=about("upper quartile of the same", unit="ms", digits=".6f"))
    rounds: int = field(metadata=about("rounds that were timed"))
    calls: int = field(metadata=about("calls of a round, so many that it takes 100 microseconds at least"))
    warm_up_s: float | None = field(metadata=about("what warming up took", unit="s", digits=".3f"))
    steady: bool | None = field(
        metadata=about(
            "`yes` or `no`: whether calls took equally long before they were timed; empty where they are too slow to "
            "tell in time"
        )
    )
    drift: float | None = field(
        metadata=about(
            "by how much the later half of the rounds took longer than the earlier one, as a share; empty where there "
            "are fewer than 8",
            digits=".4f",
        )
    )
    busy_cores: float | None = field(
        metadata=about("cores that other processes kept busy while calls were timed", digits=".3f")
    )
    gpu_use: str | None = field(
        metadata=about(
            "who used the GPU from before the process until after it: `exclusive`, `exclusive before and after` where "
            "NVML does not list every process, `shared: ` with who else, `unknown: ` with the reason; empty on the CPU"
        )
    )
    load_s: float | None = field(metadata=about("time to load the artifact into the runtime", unit="s", digits=".3f"))
    rss_base_mb: float | None = field(
        metadata=about("memory of the process before it imports the runtime", unit="MiB", digits=".1f")
    )
    rss_import_mb: float | None = field(
        metadata=about("the same after importing the runtime", unit="MiB", digits=".1f")
    )
    rss_load_mb: float | None = field(metadata=about("the same after loading the artifact", unit="MiB", digits=".1f"))
    rss_peak_mb: float | None = field(
        metadata=about("peak of the same while executing the example and being timed", unit="MiB", digits=".1f")
    )

    @property
    def cell(self) -> tuple[str, str, str]:
        """What identifies its cell among the cells of any run: model, strategy, device."""
        return self.model, self.strategy, self.device


def launch_contradictions(launch: Launch) -> list[str]:
    """What of a row cannot be true together, a phrase each that names its columns; empty where all of it can."""
    found = []
    for each in fields(launch):
        value = getattr(launch, each.name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if not math.isfinite(value):
            found.append(f"'{each.name}' is {value}, which is no measurement")
        elif value < (1 if each.name in _COUNTS else -math.inf if each.name == "drift" else 0):
            found.append(f"'{each.name}' is {value}")
    if not launch.q1_ms <= launch.latency_ms <= launch.q3_ms:
        found.append(
            f"'latency_ms' {launch.latency_ms} is not between 'q1_ms' {launch.q1_ms} and 'q3_ms' {launch.q3_ms}"
        )
    return found


def cell_contradictions(record: Record, launches: Sequence[Launch]) -> list[str]:
    """What a cell's row does not have as its launches make it, a phrase each; both are as they were read from a table.

    Digits that a table leaves out are no difference.
    """
    counts = {
        "launches": len(launches),
        "iterations": sum(each.rounds * each.calls for each in launches),
    }
    made = {
        "latency_ms": statistics.median(each.latency_ms for each in launches),
        "latency_iqr_ms": statistics.median(each.q3_ms - each.q1_ms for each in launches),
    }
    found = [
        f"'{name}' is {getattr(record, name)}, and they make {value}"
        for name, value in counts.items()
        if getattr(record, name) != value
    ]
    for name, value in made.items():
        stated = getattr(record, name)
        if stated is not None and abs(stated - value) > _ROUNDED_MS:
            found.append(f"'{name}' is {stated:.6f}, and they make {value:.6f}")
    return found
