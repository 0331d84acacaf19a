"""Puts what a node sends into the folder of the unit that it is of, as if the unit's bench had run here."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from harness.bench.attempt import Attempt
from harness.bench.disk import remove_tree
from harness.bench.errors import InfrastructureError
from harness.bench.plan import Cell, Plan
from harness.executors.orders import COMES_BACK, Ended, Part, Told

_ENDS = ("waiting", "ended")
_IN_PARTS = ("kept", "waiting")
"""What is a folder a cell, and comes to its place in one step."""


class Receiver:
    """What came of one unit, from whichever node: of a cell the first that came whole counts.

    Files lie apart until the events come that they belong to: of what a node was lost in the middle of nothing is seen.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._attempt = Attempt(folder)
        self._cells = {(cell.model, cell.strategy): cell for cell in plan.cells}
        self._done: set[tuple[str, str]] = set()
        self.under_way: set[Cell] = set()
        """The cells that were begun and have not come to their end."""

    @property
    def left(self) -> tuple[Cell, ...]:
        """The cells that have not come to their end."""
        return tuple(cell for key, cell in self._cells.items() if key not in self._done)

    def begin(self) -> None:
        """Another node begins with what is left: what an earlier one sent in part goes."""
        self.under_way.clear()
        remove_tree(self._apart)

    def part(self, part: Part) -> None:
        """Keep a piece of a file apart. Raises `InfrastructureError` for a path that is none of a unit's."""
        path = self._apart / self._checked(part.path)
        if part.path.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(part.content)

    def told(self, told: Told) -> None:
        """Put what came for these events in its place, and retell them."""
        for part in ("natives", "builds"):
            self._place_all(part, self._names(part))
        for event in told.events:
            cell = self._cells.get((event["model"], event["strategy"]))
            if cell is None or (cell.model, cell.strategy) in self._done:
                continue
            if event["event"] == "started":
                self.under_way.add(cell)
            elif event["event"] in _ENDS:
                self._place(cell)
                self.under_way.discard(cell)
                self._done.add((cell.model, cell.strategy))
            self._attempt.retell(event)
        remove_tree(self._apart)

    def refused(self, ended: Ended) -> None:
        """Have the unit's attempt say that the bench would not run its plan."""
        self._attempt.refuse(ended.cause, mistake=ended.mistake)

    @property
    def _apart(self) -> Path:
        return self._attempt.scratch / "received"

    def _checked(self, path: str) -> PurePosixPath:
        found = PurePosixPath(path)
        if found.is_absolute() or ".." in found.parts or found.parts[0] not in COMES_BACK or len(found.parts) == 1:
            msg = f"a node sent a file that is none of a unit's: {path!r}."
            raise InfrastructureError(msg)
        return found

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
