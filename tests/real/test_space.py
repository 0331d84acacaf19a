"""Environments that are installed for real where there is room for some of them alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.matrix.blocks import blocks_of, taken
from harness.matrix.combination import read
from harness.matrix.environment import Prepared, folder_of, python_of
from harness.matrix.evicting import Room, environments
from harness.matrix.installing import holding, prepare_environment
from harness.matrix.locks import read_lock
from tests.real.checkouts import NAME, log_of, make_checkout

pytestmark = pytest.mark.real

_COMBINATIONS, _FIT = 10, 7


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with ten combinations of one lock."""
    root = make_checkout(tmp_path / "checkout", "six==1.16.0")
    for file in (root / "matrices" / f"{NAME}.in", root / "matrices" / "locks" / f"{NAME}.txt"):
        for number in range(_COMBINATIONS):
            text = file.read_text(encoding="utf-8").replace(f"{NAME}.", f"{_name(number)}.")
            file.with_name(f"{_name(number)}{file.suffix}").write_text(text, encoding="utf-8")
    return root


def _name(number: int) -> str:
    return f"{NAME}-{number}"


def test_ten_environments_run_through_with_room_for_seven(root: Path) -> None:
    notes: list[str] = []
    limit = 0

    def free(_: Path) -> int:
        return limit - taken(blocks_of(root / ".tox"))

    def prepared(number: int, room: Room) -> None:
        name = _name(number)
        with holding(root, name, notes.append):
            lock = read_lock(root, read(root, name))
            log = log_of(root)
            made = prepare_environment(root, name, lock, log=log, note=notes.append, busy=lambda _: None, room=room)
            assert isinstance(made, Prepared), made
            assert made.changes() == []

    prepared(0, Room())
    one = taken(blocks_of(folder_of(root, _name(0))))
    limit = _FIT * one + one // 2
    for number in range(1, _COMBINATIONS):
        needed = frozenset(map(_name, range(number, _COMBINATIONS)))
        prepared(number, Room(enough=one + one // 4, needed=needed, free=free))
        assert free(root) >= 0
    assert [each.name for each in environments(root)] == [_name(each) for each in range(3, _COMBINATIONS)]
    assert [note.split("environment of ")[1].split(",")[0] for note in notes] == [_name(each) for each in range(3)]
    prepared(0, Room(enough=one + one // 4, free=free))  # what went comes back
    assert python_of(root, _name(0)).exists()
