"""Which environments go on a node where there is no room for another one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.executors.node_room import USERS, make_room
from harness.matrix.blocks import blocks_of, taken
from harness.matrix.environment import INSTALLED
from harness.matrix.evicting import Room
from harness.matrix.installing import holding

MIB = 2**20


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """What a node keeps: three environments of 4 MiB, the oldest first, and orders that are carried out."""
    for number, name in enumerate(("one", "two", "three")):
        folder = tmp_path / name / ".tox" / "torch2.0"
        folder.mkdir(parents=True)
        (folder / "big.so").write_bytes(os.urandom(4 * MIB))
        (folder / INSTALLED).write_text("{}", encoding="utf-8")
        (tmp_path / name / "lock.txt").touch()
        (tmp_path / name / USERS).touch()
        os.utime(tmp_path / name / USERS, (number, number))
    (tmp_path / "units" / "abc").mkdir(parents=True)
    return tmp_path


def quota(cache: Path, limit: int) -> Callable[[Path], int]:
    return lambda _: limit - taken(blocks_of(cache))


def left(cache: Path) -> set[str]:
    return {path.parents[2].name for path in cache.glob("*/.tox/*/big.so")}


def test_the_one_that_nobody_has_used_for_longest_goes_and_its_lock_stays(cache: Path) -> None:
    (cache / "one" / USERS).open("w", encoding="utf-8").close()  # as a use begins
    told: list[str] = []
    make_room(cache, cache / "new", Room(enough=4 * MIB, free=quota(cache, 14 * MIB)), note=told.append)
    assert left(cache) == {"one", "three"}
    assert (cache / "two" / "lock.txt").exists()
    assert (cache / "units" / "abc").exists()
    assert [
        text.endswith("removed the environment of torch2.0, which nobody had used for longest: 4 MiB") for text in told
    ] == [True]


def test_what_somebody_uses_or_installs_stays_and_so_does_ones_own(cache: Path) -> None:
    room = Room(enough=3 * MIB, free=quota(cache, 14 * MIB))
    with (cache / "one" / USERS).open("rb") as users, holding(cache / "two", "torch2.0", print):
        fcntl.flock(users, fcntl.LOCK_SH)
        make_room(cache, cache / "three", room, note=print)
        assert left(cache) == {"one", "two", "three"}
    make_room(cache, cache / "three", room, note=print)
    assert left(cache) == {"two", "three"}


@pytest.mark.parametrize(("enough", "limit"), [(1 * MIB, 14 * MIB), (100 * MIB, 14 * MIB)])
def test_where_there_is_room_or_none_to_be_made_nothing_goes(cache: Path, enough: int, limit: int) -> None:
    told: list[str] = []
    make_room(cache, cache / "new", Room(enough=enough, free=quota(cache, limit)), note=told.append)
    assert (left(cache), told) == ({"one", "two", "three"}, [])
