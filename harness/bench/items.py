"""The cells of a plan as pytest's items, and the order in which they are gone through.

An item is one cell, reported once. First every cell is run, and those that came to an end are reported as they do. Then
those that wait are timed, one after the other, with nothing else at work. Where what waits takes too much of the disk,
it is timed before further cells are run.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.bench.asked import CELLS_FILE
from harness.bench.attempt import Attempt
from harness.bench.cell import Cells
from harness.bench.disk import NO_RESULT
from harness.bench.errors import DiskFullError, HarnessError, InfrastructureError
from harness.bench.failure import describe_failure
from harness.bench.plan import Cell
from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.bench.telling import told
from harness.bench.waiting import WAITING_SHARE

CELLS = pytest.StashKey[Cells]()
ATTEMPT = pytest.StashKey[Attempt]()
CAUSE = pytest.StashKey[str]()
"""Why the run stopped, where that is no result."""


class CellFailedError(Exception):
    """Tells pytest that a cell is broken; the record says all there is."""

    def __init__(self, record: Record, details: Mapping[str, Any]) -> None:
        super().__init__(describe_failure(record))
        self.record = record
        self.details = details


class CellItem(pytest.Item):
    """One cell."""

    def __init__(self, *, cell: Cell, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = cell
        self.extra_keyword_matches.update({cell.model, cell.strategy, cell.device})
        self._ended: tuple[Record, dict[str, Any]] | None = None
        self._has_run = False
        self.broke: Exception | None = None
        """A bug of ours that the cell met: it costs the record of this cell alone."""

    def run_cell(self) -> bool:
        """All but timing; whether that was the end of the cell."""
        cells, attempt = self.config.stash[CELLS], self.config.stash[ATTEMPT]
        self._has_run = True
        with self._stopping():
            waited = cells.waits(self.cell)
            if waited:  # a run that was paused has brought it so far
                cells.builds.built(self.cell.model)
            else:
                attempt.started(self.cell)
                self._ended = cells.run(self.cell)
            new = cells.builds.new(self.cell.model)
            if new is not None:
                attempt.write_build(self.cell.model, *new)
            if self._ended is None and not waited:
                attempt.waits(self.cell)
            if self._ended is not None:
                attempt.write(self.cell, *self._ended, waits_on=bool(cells.plan.duel_side))
                if cells.plan.duel_side:  # no cell of it can be timed in between, to make room
                    cells.require_room(WAITING_SHARE)
        return self._ended is not None or self.broke is not None

    @property
    def came_through(self) -> bool:
        """Whether all but timing was done, however it ended."""
        return self._has_run and self.broke is None

    def runtest(self) -> None:
        """Time the cell where that is left to do, and report it."""
        if not self._has_run:
            self.run_cell()
        if self._ended is None and self.broke is None:
            attempt = self.config.stash[ATTEMPT]
            with self._stopping():
                attempt.timing(self.cell)
                self._ended = self.config.stash[CELLS].time(self.cell)
                attempt.write(self.cell, *self._ended)
        if self.broke is not None:
            raise self.broke
        assert self._ended is not None
        record, details = self._ended
        self.user_properties.append(("outcome", record.outcome.value))
        self.user_properties.append(("stage", record.stage.value))
        if record.outcome is Outcome.NOT_APPLICABLE:
            pytest.skip(record.error or "not applicable")
        if record.outcome.broken:
            raise CellFailedError(record, details)

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """End the run by infrastructure, which is no result; what else is raised within is kept, to be reported."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever a bug of ours raises
            cause = infrastructure(error)
            if cause is None:
                self.broke = error
                return
            self.config.stash[CAUSE] = str(cause)
            pytest.exit(str(cause), returncode=pytest.ExitCode.INTERNAL_ERROR)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What the record and its details say; the bench's own traceback only where it broke itself."""
        error = excinfo.value
        if isinstance(error, CellFailedError):
            return told(self.cell.id, error.record, error.details, self.config.getoption("tbstyle"))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """What a failure's heading says. It does not end as the id does, in which pytest would replace the dots."""
        return self.config.rootpath / CELLS_FILE.name, None, f"cell {self.name}"


def infrastructure(error: Exception) -> HarnessError | None:
    """What stopped the run; None where that is a bug of ours."""
    if isinstance(error, InfrastructureError):
        return error
    if isinstance(error, OSError) and error.errno in NO_RESULT:
        msg = f"the disk where the bench writes its records and scratch refuses: {error.strerror}."
        return DiskFullError(msg)
    return None


def go_through(session: pytest.Session) -> None:
    """Run every item of a session: cells first without timing; what is no cell of ours as pytest would.

    Where the plan has nothing timed, what waits is left to wait, and not reported. Somebody takes it away
    meanwhile, and sees to it that there is room.
    """
    waiting: list[CellItem] = []
    size = 0
    for item, after in _with_next(session.items):
        if not isinstance(item, CellItem) or item.run_cell():
            _report(session, item, None if isinstance(item, CellItem) or isinstance(after, CellItem) else after)
            continue
        cells = session.config.stash[CELLS]
        if not cells.plan.times:
            continue
        waiting.append(item)
        size += cells.bytes_waiting(item.cell)
        if size > WAITING_SHARE * (shutil.disk_usage(cells.waiting).free + size):
            _time(session, waiting)
            waiting, size = [], 0
    if waiting:
        _time(session, waiting)


def _with_next(items: list[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    for number, item in enumerate(items):
        yield item, items[number + 1] if number + 1 < len(items) else None


def _time(session: pytest.Session, waiting: list[CellItem]) -> None:
    for item in waiting:
        _report(session, item, None)


def _report(session: pytest.Session, item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """One item by pytest's own protocol; raises what ends a session early, as its own loop does."""
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
