"""A cell followed from run to run: what had moved between two of them, and since when its numbers are others."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from harness.bench.record import Record
from harness.verdict.changepoints import ChangePoint, Measured, change_points_by, conditions_of, not_told

CODE_EDITED = "code of the strategy, its steps or its runtime edited"


class SeenRun(Measured, Protocol):
    """What of a run may have had a say in what became of a cell."""

    @property
    def pins(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def lock_digest(self) -> str: ...  # noqa: D102
    @property
    def python(self) -> str: ...  # noqa: D102
    @property
    def harness_version(self) -> str: ...  # noqa: D102


class Seen(Protocol):
    """A cell in a run."""

    @property
    def run(self) -> SeenRun: ...  # noqa: D102
    @property
    def record(self) -> Record: ...  # noqa: D102


class Number(Enum):
    """A number of a cell that has a history: its column, name and unit, and the columns that part it into series."""

    LATENCY = ("latency_ms", "latency", "ms", ())
    # Memory by another source is another quantity.
    MEMORY = ("rss_peak_mb", "memory", "MiB", ("rss_source",))

    def __init__(self, column: str, title: str, unit: str, parted_by: tuple[str, ...]) -> None:
        self.column, self.title, self.unit, self.parted_by = column, title, unit, parted_by

    def of(self, record: Record) -> float | None:
        """The number of a record; None where it was not measured."""
        value: float | None = getattr(record, self.column)
        return value if value is not None and math.isfinite(value) and value > 0 else None


@dataclass(frozen=True, kw_only=True)
class Levels:
    """A number in the runs of a cell, each with the conditions that it holds under, and its change points.

    A value is None where the run did not measure it. Numbers of unequal conditions are not of one series.
    """

    values: tuple[float | None, ...]
    conditions: tuple[Hashable, ...]
    changes: tuple[ChangePoint, ...]


def levels_of(seen: Sequence[Seen], number: Number) -> Levels:
    """The levels of a number in the runs of one cell, the oldest first. Without ruptures no change point is told."""
    # What a run carried over is the number of an earlier one, and no further evidence.
    values = [None if each.record.carried_from else number.of(each.record) for each in seen]
    conditions = [
        (conditions_of(each.run), *(getattr(each.record, column) for column in number.parted_by)) for each in seen
    ]
    changes = () if not_told() else change_points_by(values, conditions)
    return Levels(values=tuple(values), conditions=tuple(conditions), changes=changes)


def moved_between(before: Seen, now: Seen, *, arrow: str = "->") -> tuple[str, ...]:
    """What may have had a say in a difference between two runs of a cell."""
    moved = _pins_moved(before.run, now.run, arrow)
    if not moved and before.run.lock_digest != now.run.lock_digest:
        moved.append("other packages moved")
    if before.run.python != now.run.python:
        moved.append(f"Python {before.run.python} {arrow} {now.run.python}")
    if before.run.harness_version != now.run.harness_version:
        moved.append(f"harness {before.run.harness_version} {arrow} {now.run.harness_version}")
    digests = (("model edited", "model_digest"), (CODE_EDITED, "strategy_digest"))
    for told, column in digests:
        was, is_now = getattr(before.record, column), getattr(now.record, column)
        moved += [told] if was and is_now and was != is_now else []
    return tuple(moved)


def _pins_moved(before: SeenRun, now: SeenRun, arrow: str) -> list[str]:
    names = sorted(before.pins.keys() | now.pins.keys())
    versions = ((name, before.pins.get(name, "absent"), now.pins.get(name, "absent")) for name in names)
    return [f"{name} {was} {arrow} {is_now}" for name, was, is_now in versions if was != is_now]
