"""A side of a duel made ready: what nobody came back for is removed, and made again for who does."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.attempts.tasks import Task
from harness.bench.attempt import ATTEMPT_VERSION, Attempt
from harness.bench.errors import EnvironmentChangedError
from harness.bench.identity import PARTS
from harness.bench.plan import Plan
from harness.bench.record import write_json
from harness.duel.preparing import Side, _identity, prepare
from harness.matrix.environment import INSTALLED, holding_folder
from harness.matrix.installing import CHANGES
from harness.matrix.locks import Lock
from harness.matrix.wholeness import take
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


def test_a_side_is_no_evidence_where_an_environment_changed_since_it_was_installed(tmp_path: Path) -> None:
    folder = tmp_path / ".tox" / "somebodys"
    package = folder / "lib" / "python3.11" / "site-packages" / "theirs.py"
    for path in (folder / "bin" / "python", package):
        path.parent.mkdir(parents=True)
        path.write_text("", encoding="utf-8")
    lock = Lock(path=tmp_path / "lock.txt", text="six==1.16.0\n")
    task = Task(plan=Plan(combination="somebodys", device="cpu", tier="quick", cells=()), lock=lock)
    side = Side(name="somebodys", cells={}, identity="", tasks=(task,))
    files = {path: [*seen, -1] for path, seen in take(folder).items()}
    marker = {"lock": lock.digest, "folder": str(folder), "packages": [], "files": files}
    (folder / INSTALLED).write_text(json.dumps(marker), encoding="utf-8")
    side.require_whole(tmp_path)
    package.write_text("VALUE = 1\n", encoding="utf-8")
    with pytest.raises(EnvironmentChangedError, match=r"theirs\.py.* Nothing of its pairs counts"):
        side.require_whole(tmp_path)
    again = replace(side, tasks=(replace(task, lock=replace(lock, text="six==1.17.0\n")),))
    with pytest.raises(EnvironmentChangedError, match="it was installed anew"):
        again.require_whole(tmp_path)


def test_pairs_of_before_an_environment_was_mended_are_of_another_side(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "attempt")
    attempt.folder.mkdir()
    write_json(attempt.file, {"version": ATTEMPT_VERSION, "identity": dict.fromkeys(PARTS, "p")})
    task = Task(plan=Plan(combination="somebodys", device="cpu", tier="quick", cells=()))
    before = _identity(tmp_path, task, attempt)
    assert _identity(tmp_path, task, attempt) == before
    held = holding_folder(tmp_path, "somebodys")
    held.mkdir(parents=True)
    write_json(held / CHANGES, [[100.0, 200.0]])
    assert _identity(tmp_path, task, attempt) != before
