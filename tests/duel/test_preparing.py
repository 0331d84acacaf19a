"""A side of a duel made ready: what nobody came back for is removed, and made again for who does."""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness.attempts.tasks import Task
from harness.duel.preparing import Side, prepare
from tests.attempts.conftest import Observer, make_ambient
from tests.duel.sides import task_of


def _prepared(root: Path, task: Task, observer: Observer) -> Side:
    with contextlib.ExitStack() as holds:
        return prepare(root, [task], observer, holds, side="a")


def test_what_was_ready_for_a_duel_that_nobody_went_on_with_is_made_ready_again(tmp_path: Path) -> None:
    task = task_of(tmp_path, make_ambient(tmp_path / "interpreter"), "before", {"same": "pass", "other": "pass"})
    first, again, anew = Observer(), Observer(), Observer()
    side = _prepared(tmp_path, task, first)
    assert _prepared(tmp_path, task, again).cells.keys() == side.cells.keys()
    assert not [line for line in again.told if line.startswith("started")], "nothing is converted twice"
    (attempt,) = side.attempts
    attempt.let_go()
    assert not attempt.has_waiting()
    made = _prepared(tmp_path, task, anew)
    assert (made.cells.keys(), made.absent, made.identity) == (side.cells.keys(), {}, side.identity)
    assert len([line for line in anew.told if line.startswith("started")]) == 2
