"""Puts what a node sends into the folder of the unit that it is of, as if the unit's bench had run here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from harness.bench.attempt import Attempt
from harness.bench.disk import remove_tree
from harness.bench.errors import InfrastructureError
from harness.bench.kept import bound_artifacts, describe_artifact, hand_over
from harness.bench.plan import Cell, Plan, model_of
from harness.bench.spans import spans_of
from harness.bench.stages import Outcome
from harness.bench.waiting import read_waiting
from harness.executors.orders import COMES_BACK, Ended, Part, Told

_OF_BUILD = ("natives", "builds")
_IN_PARTS = ("kept", "waiting")
"""What is a folder a cell, and comes to its place in one step."""


class Receiver:
    """What came of one unit, from whichever node: of a cell the first that came whole counts.

    Files lie apart until the events come that they belong to: of what a node was lost in the middle of nothing is seen.
    Where the bench `times` its cells, one that waits has not come to its end, and none has before the bench was found
    to have ended in the environment that it began in (`found_whole`): nothing is looked at while cells are timed.
    """

    def __init__(self, folder: Path, plan: Plan, *, times: bool = False) -> None:
        self._attempt = Attempt(folder)
        self._cells = {(cell.model, cell.strategy): cell for cell in plan.cells}
        self._times = times
        self._plan = plan
        self._done: set[tuple[str, str]] = set()
        self._provisional: dict[Cell, Mapping[str, Any]] = {}
        self._events: list[Mapping[str, Any]] = []

    @property
    def left(self) -> tuple[Cell, ...]:
        """The cells that have not come to their end."""
        return tuple(cell for key, cell in self._cells.items() if key not in self._done)

    @property
    def spans(self) -> dict[tuple[str, str], list[tuple[float, float]]]:
        """When each cell was at work on the last node that began, by that one's clock."""
        return spans_of(self._events)

    def begin(self) -> None:
        """Another node begins with what is left: what an earlier one sent in part goes, or timed without its end."""
        self._provisional.clear()
        self._events.clear()
        remove_tree(self._apart)

    def part(self, part: Part) -> None:
        """Keep a piece of a file apart. Raises `InfrastructureError` for a path that is none of a unit's."""
        self._check(part.path)
        part.write(self._apart)

    def told(self, told: Told) -> None:
        """Put what came for these events in its place, and retell them; of a bench that times only the latter."""
        if not self._times:
            self._place_shared()
        for event in told.events:
            cell = self._cells.get((event["model"], event["strategy"]))
            if cell is None or (cell.model, cell.strategy) in self._done or cell in self._provisional:
                continue
            if event["event"] == "ended" and self._times:
                self._provisional[cell] = event
            elif event["event"] in ("ended", "waiting") and not self._times:
                self._place(cell)
                self._done.add((cell.model, cell.strategy))
            self._events.append(event)
            self._attempt.retell(event)
        if not self._times:
            remove_tree(self._apart)

    def found_whole(self) -> None:
        """Put all in its place that a bench left that timed: it ended in the environment that it began in."""
        self._place_shared()
        for cell, event in self._provisional.items():
            self._place(cell)
            if not self._plan.duel_side:
                self._waits_no_more(cell, passed=event.get("outcome") == Outcome.PASSED.value)
            self._done.add((cell.model, cell.strategy))
        self._provisional.clear()
        remove_tree(self._apart)

    def _place_shared(self) -> None:
        """Put what is not of one cell alone in its place."""
        self._place_all("surroundings", self._names("surroundings"))
        for name in sorted(self._names("natives") & self._names("builds")):
            native, modules = (json.loads((self._apart / part / name).read_text("utf-8")) for part in _OF_BUILD)
            self._attempt.write_build(model_of(Path(name).stem), native, modules)
        # Cells that came before may wait with what another node built, of which this is the same.
        self._place_all("built", {name for name in self._names("built") if not (self._attempt.built / name).exists()})

    def _waits_no_more(self, cell: Cell, *, passed: bool) -> None:
        """Remove what waited of a cell that was timed, and leave what it converted for others, as the bench does."""
        folder = self._attempt.waiting / cell.slug
        waiting, limit_mb = read_waiting(folder), self._plan.keeping.artifacts_mb
        if passed and waiting is not None and waiting.converted and limit_mb:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # a full disk, or what a child left
                result, built = waiting.converted
                artifact = describe_artifact(folder, result, built, model=cell.model, strategy=cell.strategy)
                if artifact is not None:
                    stated = self._attempt.read() or {}  # it was not made by what runs here
                    artifact = replace(artifact, python=stated["python"], packages=dict(stated["packages"]))
                    hand_over(folder, self._attempt.artifacts / cell.slug, artifact)
                    bound_artifacts(self._attempt.artifacts, limit_mb)
        remove_tree(folder)

    def refused(self, ended: Ended) -> None:
        """Have the unit's attempt say that the bench would not run its plan."""
        self._attempt.refuse(ended.cause, mistake=ended.mistake)

    @property
    def _apart(self) -> Path:
        return self._attempt.scratch / "received"

    def _check(self, path: str) -> None:
        found = PurePosixPath(path)
        if found.is_absolute() or ".." in found.parts or found.parts[0] not in COMES_BACK or len(found.parts) == 1:
            msg = f"a node sent a file that is none of a unit's: {path!r}."
            raise InfrastructureError(msg)

    def _place(self, cell: Cell) -> None:
        for part in _IN_PARTS:
            self._place_all(part, {cell.slug} & self._names(part))
        self._place_all("records", {self._attempt.record_of(cell).name} & self._names("records"))

    def _names(self, part: str) -> set[str]:
        folder = self._apart / part
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    def _place_all(self, part: str, names: Collection[str]) -> None:
        for name in sorted(names):
            target = self._attempt.folder / part / name
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_tree(target) if target.is_dir() else target.unlink(missing_ok=True)
            (self._apart / part / name).rename(target)
