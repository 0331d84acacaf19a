"""`launches.csv`: the launches that a table's latencies are the medians of, a row each."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from harness.bench.latency import QUALITIES, SPREAD, doubts_of
from harness.bench.record import Record
from harness.tables.columns import about, columns_of
from harness.tables.lazy import ByColumns

FEWEST_LAUNCHES = 3
"""The fewest launches of a cell that have a middle and two ends, and so tell what its memory varies by."""

COUNTS = ("rounds", "calls")


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


CELL = ("model", "strategy", "device")
"""What identifies a cell."""


def columns_by_cell(
    launches: Sequence[Launch], names: Sequence[str]
) -> Iterator[tuple[tuple[str, str, str], tuple[list[Any], ...]]]:
    """Of each cell its values of two or more columns, a list a column, in the order of `launches`."""
    if isinstance(launches, ByColumns):
        for model, strategy, device, *columns in launches.grouped(CELL, names):
            yield (model, strategy, device), tuple(columns)
        return
    found: dict[tuple[str, str, str], list[tuple[Any, ...]]] = {}
    values = attrgetter(*names)
    for each in launches:
        found.setdefault(each.cell, []).append(values(each))
    for cell, rows in found.items():
        yield cell, tuple(map(list, zip(*rows, strict=True)))


def launch_contradictions(launch: Launch) -> list[str]:
    """What of a row cannot be true together, a phrase each that names its columns; empty where all of it can."""
    found = []
    for each in fields(launch):
        value = getattr(launch, each.name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if not math.isfinite(value):
            found.append(f"'{each.name}' is {value}, which is no measurement")
        elif value < (1 if each.name in COUNTS else -math.inf if each.name == "drift" else 0):
            found.append(f"'{each.name}' is {value}")
    if not launch.q1_ms <= launch.latency_ms <= launch.q3_ms:
        found.append(
            f"'latency_ms' {launch.latency_ms} is not between 'q1_ms' {launch.q1_ms} and 'q3_ms' {launch.q3_ms}"
        )
    return found


def cell_contradictions(record: Record, launches: Sequence[Launch]) -> list[str]:
    """What a cell's row does not have as its launches make it, a phrase each; both are as they were read from a table.

    Digits that a table leaves out are no difference. `record` has a latency.
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
        f"'{name}' is {_told(getattr(record, name))}, and they make {value}"
        for name, value in counts.items()
        if getattr(record, name) != value
    ]
    off_ms = 3 * half_digit(Launch, "latency_ms")  # that of the row's figure, and of two that it may be made from
    for name, value in made.items():
        stated = getattr(record, name)
        if stated is None or abs(stated - value) > off_ms:
            found.append(f"'{name}' is {_told(stated, '.6f')}, and they make {value:.6f}")
    return [*found, *_of_spread(record, launches), *_of_quality(record, launches)]


def _of_spread(record: Record, launches: Sequence[Launch]) -> Iterator[str]:
    stated, told = record.latency_spread, f"'latency_spread' is {_told(record.latency_spread, '.3f')}"
    if len(launches) == 1:
        if stated is not None:
            yield f"{told}, and a single launch has none"
        return
    low, high = _spread(launches)
    off = half_digit(Record, "latency_spread")
    if stated is None or not low - off <= stated <= high + off:
        made = dict.fromkeys((f"{low:.3f}", f"{high:.3f}"))
        yield f"{told}, and they make {' to '.join(made)}"


def _of_quality(record: Record, launches: Sequence[Launch]) -> Iterator[str]:
    """Whether the words are those that the launches make; near a bound, where digits are missing, either may be."""
    surely, perhaps = _doubts(launches, higher=False), _doubts(launches, higher=True)
    stated = (record.latency_quality or "").split(", ")
    made = [word for word in QUALITIES if word in surely or (word in perhaps and word in stated)]
    if stated != (made or [""]):
        yield f"'latency_quality' is {_told(record.latency_quality)}, and they make {', '.join(made) or 'nothing'}"


def _spread(launches: Sequence[Launch]) -> tuple[float, float]:
    """Between what the spread of launches lies, as far as the digits of their latencies tell."""
    medians_ms = [each.latency_ms for each in launches]
    range_ms, middle_ms = max(medians_ms) - min(medians_ms), statistics.median(medians_ms)
    off_ms = half_digit(Launch, "latency_ms")
    low = max(range_ms - 2 * off_ms, 0.0) / (middle_ms + off_ms)
    return low, (range_ms + 2 * off_ms) / (middle_ms - off_ms) if middle_ms > off_ms else math.inf


def _doubts(launches: Sequence[Launch], *, higher: bool) -> set[str]:
    """What speaks against a latency if all figures of its launches lay half a digit higher, or lower."""
    found, way = set(), 1 if higher else -1
    for each in launches:
        busy_cores = (each.busy_cores or 0.0) + way * half_digit(Launch, "busy_cores")
        drift = abs(each.drift or 0.0) + way * half_digit(Launch, "drift")
        found.update(doubts_of({**vars(each), "busy_cores": busy_cores, "drift": drift}))
    low, high = _spread(launches)
    if len(launches) > 1 and (high if higher else low) > SPREAD:
        found.add("spread")
    return found


def _told(value: object, digits: str = "") -> str:
    return "empty" if value is None else format(value, digits)


@functools.cache
def half_digit(kind: type[Launch | Record], name: str) -> float:
    """Half of the last digit that a table has of a column, and as little more as rounding in binary takes."""
    digits = next(column.digits for column in columns_of(kind) if column.name == name)
    return float(0.5 * 10.0 ** -int(digits.strip(".f"))) + 1e-9
