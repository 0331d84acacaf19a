"""What became of cells from run to run: what is told of each, before it is drawn, and as JSON."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.bench.record import Record
from harness.report.following import Number, levels_of, moved_between
from harness.report.wording import SHORT_ERROR, detail, machine_line
from harness.verdict.changepoints import ChangePoint

if TYPE_CHECKING:  # it loads Polars
    from harness.tables.history import History, Sighting

SCHEMA_VERSION = 1
"""Of the JSON."""


@dataclass(frozen=True, kw_only=True)
class CellRun:
    """One cell in one run; `moved` says what of its versions and code is not as in the run before."""

    sighting: Sighting
    conditions: str
    moved: tuple[str, ...]

    @property
    def record(self) -> Record:
        """What was recorded of it."""
        return self.sighting.record

    @property
    def cause(self) -> str:
        """The fingerprint of what broke it, and the error; empty where nothing did."""
        if not self.record.outcome.broken:
            return ""
        error = detail(self.record, length=SHORT_ERROR)
        return ": ".join(part for part in (self.record.fingerprint, error) if part)


@dataclass(frozen=True, kw_only=True)
class Series:
    """A number of a cell in the runs that were made under equal conditions, with its change points.

    `runs` are indices among the runs of the cell, and those of `changes` are, too.
    """

    number: Number
    conditions: str
    runs: tuple[int, ...]
    values: tuple[float, ...]
    changes: tuple[ChangePoint, ...]


@dataclass(frozen=True, kw_only=True)
class CellHistory:
    """A cell in its runs, the oldest first. `conditions` are those that any run had, in the order of time."""

    cell_id: str
    device: str
    runs: tuple[CellRun, ...]
    series: tuple[Series, ...]

    @property
    def conditions(self) -> tuple[str, ...]:
        """The machines of the runs, with GPU and threads."""
        return tuple(dict.fromkeys(run.conditions for run in self.runs))

    def newest(self, number: Number) -> Series | None:
        """The series of the newest run that has the number; None where none has."""
        found = [each for each in self.series if each.number is number]
        return max(found, key=lambda each: each.runs[-1], default=None)


def histories(history: History) -> tuple[CellHistory, ...]:
    """The cells of a history, by their ids. Change points are looked for where they can be told."""
    return tuple(
        CellHistory(cell_id=cell_id, device=device, runs=_runs(sightings), series=_series(sightings))
        for (cell_id, device), sightings in history.by_cell().items()
    )


def _runs(sightings: Sequence[Sighting]) -> tuple[CellRun, ...]:
    return tuple(
        CellRun(
            sighting=each,
            conditions=machine_line(each.run),
            moved=moved_between(before, each) if before else (),
        )
        for before, each in zip([None, *sightings], sightings, strict=False)
    )


def _series(sightings: Sequence[Sighting]) -> tuple[Series, ...]:
    found = []
    for number in Number:
        levels = levels_of(sightings, number)
        members: dict[Hashable, list[int]] = {}
        for index, (value, condition) in enumerate(zip(levels.values, levels.conditions, strict=True)):
            if value is not None:
                members.setdefault(condition, []).append(index)
        found += [
            Series(
                number=number,
                conditions=machine_line(sightings[runs[0]].run),
                runs=tuple(runs),
                values=tuple(value for index in runs if (value := levels.values[index]) is not None),
                changes=tuple(each for each in levels.changes if each.index in runs),
            )
            for runs in members.values()
        ]
    return tuple(found)


def to_json(found: Sequence[CellHistory], unread: Mapping[str, str]) -> dict[str, Any]:
    """The cells with all runs and change points, and the tables that could not be read."""
    return {"schema_version": SCHEMA_VERSION, "cells": [_cell_json(each) for each in found], "unread": dict(unread)}


def _cell_json(cell: CellHistory) -> dict[str, Any]:
    runs = [each.sighting.run.run_id for each in cell.runs]
    changes = [
        {"number": series.number.column, "run": runs[each.index], "before": each.before, "after": each.after}
        for series in cell.series
        for each in series.changes
    ]
    return {
        "cell": cell.cell_id,
        "device": cell.device,
        "runs": [_run_json(each) for each in cell.runs],
        "change_points": changes,
    }


def _run_json(told: CellRun) -> dict[str, Any]:
    run, record = told.sighting.run, told.record
    columns = ("error_type", "error", "fingerprint", "difference", "latency_quality", "carried_from")
    return {
        "run": run.run_id,
        "started": run.started,
        "complete": run.complete,
        "selected": run.selected,
        "outcome": record.outcome.value,
        "stage": record.stage.value,
        **{number.column: number.of(record) for number in Number},
        **{column: getattr(record, column) for column in columns},
        "moved": list(told.moved),
        "pins": dict(run.pins),
        "python": run.python,
        "machine": asdict(run.machine),
        "gpu": asdict(run.gpu) if run.gpu else None,
        "driver": run.driver,
        "threads": run.threads,
    }
