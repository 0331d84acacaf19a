"""Cells of an attempt that are run in units, side by side: each unit an attempt, whose cells come over as they end.

What comes over is a cell's record and what is kept of it, or what waits to be timed, and what the build of its model
told. A cell that ended as one may for others' doing, since memory, time or a file was what it lacked, comes without:
it runs once more, alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.bench.attempt import Attempt
from harness.bench.disk import remove_tree
from harness.bench.group import end_leftovers
from harness.bench.identity import Identity
from harness.bench.kept import bound, bound_artifacts, size_of
from harness.bench.plan import Cell, Plan, file_stem_of, model_of
from harness.bench.stages import Outcome
from harness.bench.waiting import WAITING_FILE, WAITING_SHARE
from harness.executors.units import Unit

MAY_BE_OF_OTHERS = frozenset({Outcome.CRASHED.value, Outcome.TIMED_OUT.value, Outcome.OUT_OF_MEMORY.value})
"""Outcomes that cells beside a cell may bring it to."""

_ERRORS_OF_OTHERS = frozenset({"ForeignFilesChanged"})


class SideBySide:
    """The units of an attempt that is held, under way."""

    def __init__(self, attempt: Attempt, plan: Plan) -> None:
        self._attempt = attempt
        self._plan = plan
        self._of: list[tuple[Attempt, Mapping[tuple[str, str], Cell], Callable[[], Iterator[Mapping[str, Any]]]]] = []
        self._open: dict[tuple[str, str], Cell] = {}
        self._waiting_bytes = size_of(attempt.waiting)
        self.fills_disk = False
        """Whether what waits took so much of the disk that it is timed before others are begun."""
        self.stopped: list[Cell] = []
        """Cells that ended without a record."""

    def begin(
        self,
        parts: Sequence[tuple[Cell, ...]],
        identity: Identity,
        inside: Mapping[str, Any],
        *,
        lock: str,
        seconds: Callable[[Cell], float],
    ) -> list[Unit]:
        """Begin an attempt of each of the parts of the plan's cells, and return the units in the same order."""
        remove_tree(self._attempt.units)
        units = []
        for number, cells in enumerate(parts):
            plan = replace(self._plan, cells=cells, times=False)
            folder = self._attempt.units / f"{number:04}"
            attempt = Attempt(folder)
            attempt.clear_scratch()
            attempt.begin(plan, identity, inside, lock=lock)
            for cell in cells:
                if (self._attempt.given / cell.slug).exists():
                    _move(self._attempt.given / cell.slug, attempt.given / cell.slug)
            units.append(Unit(name=folder.name, plan=plan, folder=folder, seconds=sum(map(seconds, cells))))
            by_name = {(cell.model, cell.strategy): cell for cell in cells}
            self._of.append((attempt, by_name, attempt.events_from()))
        return units

    def look(self) -> bool:
        """Take over what has ended; False once what waits to be timed takes so much of the disk that it goes first."""
        for attempt, by_name, events in self._of:
            for event in events():
                cell = by_name.get((event["model"], event["strategy"]))
                if cell is not None:
                    self._take(attempt, cell, event)
        free = shutil.disk_usage(self._attempt.folder).free
        # Once it did it does: those that were not begun come after it, though the units that end leave room again.
        self.fills_disk |= self._waiting_bytes > WAITING_SHARE * (free + self._waiting_bytes)
        return not self.fills_disk

    def end(self) -> None:
        """Take over what is left, tell of cells that were begun and came to no end, and remove the units."""
        self.look()
        for cell in self._open.values():
            self._attempt.stopped(cell)
        for attempt, _, _ in self._of:
            _take_builds(attempt, self._attempt)
        remove_tree(self._attempt.units)

    def states(self) -> Iterator[Mapping[str, Any]]:
        """What the attempts of the units say of themselves."""
        return filter(None, (attempt.read() for attempt, _, _ in self._of))

    def _take(self, unit: Attempt, cell: Cell, event: Mapping[str, Any]) -> None:
        key = cell.model, cell.strategy
        if event["event"] == "started":
            self._open[key] = cell
        elif event["event"] in ("waiting", "ended"):
            self._open.pop(key, None)
            if not take_over(unit, self._attempt, cell):
                self.stopped.append(cell)
                self._attempt.stopped(cell)
                return
            waiting = self._attempt.waiting / cell.slug
            self._waiting_bytes += size_of(waiting) if waiting.exists() else 0
            if event["event"] == "ended":
                bound(self._attempt.kept, self._plan.keeping.all_mb)
                bound_artifacts(self._attempt.artifacts, self._plan.keeping.artifacts_mb)
        self._attempt.retell(event)


def take_over(unit: Attempt, attempt: Attempt, cell: Cell) -> bool:
    """Move what a cell left in a unit's attempt to the `attempt`; whether there was any that is not others' doing.

    The record, or the file that says that what waits is whole, comes last.
    """
    record = unit.record_of(cell)
    try:
        row = json.loads(record.read_text(encoding="utf-8"))["row"]
    except FileNotFoundError:
        row = None
    if row is not None and _may_be_of_others(row):
        return False
    waits = (unit.waiting / cell.slug / WAITING_FILE).exists()
    if row is None and not waits:
        return False
    take_build(unit, attempt, cell.model)
    _take_surroundings(unit, attempt)
    if row is None:
        _move(unit.waiting / cell.slug, attempt.waiting / cell.slug)
        return True
    if waits:  # for a duel
        _move(unit.waiting / cell.slug, attempt.waiting / cell.slug)
    for source, target in ((unit.kept, attempt.kept), (unit.artifacts, attempt.artifacts)):
        if (source / cell.slug).exists():
            _move(source / cell.slug, target / cell.slug)
    record.replace(attempt.record_of(cell))
    return True


def _may_be_of_others(row: Mapping[str, Any]) -> bool:
    return row["outcome"] in MAY_BE_OF_OTHERS or row.get("error_type") in _ERRORS_OF_OTHERS


def _move(source: Path, target: Path) -> None:
    remove_tree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)


def _take_surroundings(unit: Attempt, attempt: Attempt) -> None:
    """Take over what nodes told of themselves that the unit's cells ran on."""
    for path in unit.surroundings.glob("[!.]*.json"):
        if not (attempt.surroundings / path.name).exists():
            _move(path, attempt.surroundings / path.name)


def take_build(unit: Attempt, attempt: Attempt, model: str) -> None:
    """Take over what a model's build told, if any did in this unit."""
    native, modules = (folder / f"{file_stem_of(model)}.json" for folder in (unit.natives, unit.builds))
    if native.exists() and modules.exists():
        attempt.write_build(model, *(json.loads(path.read_text(encoding="utf-8")) for path in (native, modules)))
        native.unlink()
        modules.unlink()


def _take_builds(unit: Attempt, attempt: Attempt) -> None:
    """What builds told and left that no cell has brought along: serving the cells of a unit has ended."""
    for path in unit.builds.glob("*.json"):
        take_build(unit, attempt, model_of(path.stem))
    for path in unit.built.glob("*"):
        if not (attempt.built / path.name).exists():
            _move(path, attempt.built / path.name)


def recover(attempt: Attempt, planned: Collection[Cell]) -> None:
    """Take over what a run left in units that was killed, and end what is left of it at work."""
    for unit in attempt.of_units():
        end_leftovers(str(unit.folder))
        for cell in planned:
            if not attempt.record_of(cell).exists() and take_over(unit, attempt, cell):
                for event in unit.told(cell):
                    attempt.retell(event)
        _take_builds(unit, attempt)
    remove_tree(attempt.units)
