"""What folders take on disk, and which environments go where there is no room for another one."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.hold import hold
from harness.matrix import tooling
from harness.matrix.blocks import File, blocks_of, freed, taken
from harness.matrix.combination import given_folder
from harness.matrix.environment import INSTALLED, folder_of, holding_folder, python_of
from harness.matrix.evicting import Room, choose, environments, room_for
from harness.matrix.installing import holding

MIB = 2**20


def _file(path: Path, size: int = MIB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def _environment(root: Path, name: str, size: int = MIB) -> Path:
    """What the harness takes for an environment of its own, which was used later than any before it."""
    folder = root / ".tox" / name.replace("+", "-")
    _file(folder / "lib" / "big.so", size)
    (folder / INSTALLED).write_text("{}", encoding="utf-8")
    _used_now(root, name)
    return folder


_MOMENTS = itertools.count(1_000_000)


def _used_now(root: Path, name: str) -> None:
    with holding(root, name, print):
        pass
    moment = next(_MOMENTS)
    os.utime(holding_folder(root, name), (moment, moment))


def _quota(root: Path, limit: int) -> Callable[[Path], int]:
    """What is free of `limit` bytes that all environments together may take."""
    return lambda _: limit - taken(blocks_of(root / ".tox"))


def _left(root: Path) -> list[str]:
    return sorted(each.folder.name for each in environments(root))


def _make_room(root: Path, folder: Path, name: str, room: Room, note: Callable[[str], None]) -> None:
    with holding(root, name, note), room_for(root, folder, name, room, note=note):
        pass


def test_a_file_that_has_another_name_elsewhere_frees_nothing(tmp_path: Path) -> None:
    own = _file(tmp_path / "one" / "own.so", 3 * MIB)
    cached = _file(tmp_path / "cache" / "linked.so", 5 * MIB)
    os.link(cached, tmp_path / "one" / "linked.so")
    os.link(own, tmp_path / "one" / "twice.so")
    (tmp_path / "one" / "elsewhere.so").symlink_to(cached)
    one, cache = blocks_of(tmp_path / "one"), blocks_of(tmp_path / "cache")
    small = 64 * 1024  # folders and links
    assert 8 * MIB <= taken(one) < 8 * MIB + small
    assert 3 * MIB <= freed(one) < 3 * MIB + small
    assert freed(cache) < small
    assert 8 * MIB <= freed(one, cache) < 8 * MIB + small


def test_what_is_freed_is_what_comes_free(tmp_path: Path) -> None:
    """Held against the file system itself, of which nobody else writes to a folder of this size in between."""
    _file(tmp_path / "one" / "own.so", 64 * MIB)
    _file(tmp_path / "cache" / "linked.so", 64 * MIB)
    os.link(tmp_path / "cache" / "linked.so", tmp_path / "one" / "linked.so")
    done = subprocess.run(["du", "-s", "-B1", tmp_path], capture_output=True, text=True, check=True)
    whole, one = int(done.stdout.split()[0]), blocks_of(tmp_path / "one")
    assert whole == taken(blocks_of(tmp_path))
    subprocess.run(["rm", "-r", tmp_path / "one"], check=True)
    done = subprocess.run(["du", "-s", "-B1", tmp_path], capture_output=True, text=True, check=True)
    assert whole - int(done.stdout.split()[0]) == pytest.approx(freed(one), abs=8192)


@given(
    names=st.lists(st.integers(1, 5), min_size=9, max_size=9),
    here=st.lists(st.dictionaries(st.integers(0, 8), st.integers(1, 2), max_size=5), max_size=6),
    wanted=st.integers(0, 120),
)
def test_what_goes_is_enough_and_no_more_than_that(names: list[int], here: list[dict[int, int]], wanted: int) -> None:
    """How many names a file has in all is the same in whichever folder one meets it."""
    folders = [{(0, inode): File(count, names[inode], 10) for inode, count in each.items()} for each in here]
    chosen = choose(folders, wanted)
    if chosen is None:
        assert freed(*folders) < wanted
        return
    assert freed(*(folders[each] for each in chosen)) >= wanted
    for left_out in chosen:
        assert freed(*(folders[each] for each in chosen if each != left_out)) < wanted
    assert chosen == sorted(chosen)
    last = max(chosen, default=0)
    assert wanted <= 0 or freed(*folders[:last]) < wanted, "all that was used earlier would have done"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "matrices").mkdir(parents=True)
    return tmp_path / "root"


def test_the_one_that_nobody_had_for_longest_goes_and_it_is_said(root: Path, notes: list[str]) -> None:
    for name in ("torch2.2", "torch2.0", "torch2.1+tools"):
        _environment(root, name, 4 * MIB)
    free = _quota(root, 14 * MIB)
    _make_room(root, root / ".tox" / "new", "new", Room(enough=5 * MIB, free=free), note=notes.append)
    assert _left(root) == ["torch2.0", "torch2.1-tools"]
    (told,) = notes
    assert told.startswith("space is short: 2 MiB free, and 5 MiB wanted to install new; removed the environment of")
    assert told.endswith(" torch2.2, which nobody had for longest: 4 MiB")


def test_what_is_held_needed_or_not_ours_stays(root: Path, notes: list[str]) -> None:
    for name in ("held", "needed+tools", "torch2.0", "new"):
        _environment(root, name, 4 * MIB)
    _file(root / ".tox" / "lint" / "lib" / "big.so", 4 * MIB)  # tox has it of its own
    (root / ".tox" / "linked").symlink_to(root / ".tox" / "lint")
    room = Room(enough=2**60, needed={"needed+tools"}, free=_quota(root, 30 * MIB))
    with hold(holding_folder(root, "held"), "held", print):
        _make_room(root, root / ".tox" / "new", "new", room, note=notes.append)
        assert _left(root) == ["held", "needed-tools", "new", "torch2.0"], "one that cannot help is not removed"
        (told,) = notes
        assert "removing all that nobody needs now (1) would free 4 MiB, so that none is removed" in told
        assert "free_mb of [keep]" in told
        room = Room(enough=16 * MIB, needed={"needed+tools"}, free=_quota(root, 30 * MIB))
        _make_room(root, root / ".tox" / "new", "new", room, note=notes.append)
    assert _left(root) == ["held", "needed-tools", "new"]
    assert (root / ".tox" / "lint" / "lib" / "big.so").exists()


def test_one_that_is_all_links_into_the_cache_is_left_and_the_next_goes(root: Path, notes: list[str]) -> None:
    linked = _environment(root, "linked", 4 * MIB)
    (root / "cache").mkdir()
    os.link(linked / "lib" / "big.so", root / "cache" / "big.so")
    _environment(root, "own", 4 * MIB)
    room = Room(enough=5 * MIB, free=_quota(root, 10 * MIB))
    _make_room(root, root / ".tox" / "new", "new", room, note=notes.append)
    assert _left(root) == ["linked"]


def test_where_no_room_comes_no_further_one_goes(root: Path, notes: list[str]) -> None:
    """Such as of files that a file system keeps in a snapshot."""
    for name in ("one", "two", "three"):
        _environment(root, name, 4 * MIB)
    _make_room(root, root / ".tox" / "new", "new", Room(enough=7 * MIB, free=lambda _: 0), note=notes.append)
    assert _left(root) == ["three", "two"]
    assert notes[-1].startswith("removing it should have freed 4 MiB, so that no other is removed. `harness clean`")


def test_of_given_requirements_the_lock_stays(root: Path, notes: list[str]) -> None:
    for number in range(2):
        folder = given_folder(root, f"reqs-{number}")
        _file(folder / "env" / "lib" / "big.so", 4 * MIB)
        for file in ("given.json", "lock.txt"):
            (folder / file).write_text("{}", encoding="utf-8")
        _used_now(root, f"reqs-{number}")

    def free(_: Path) -> int:
        return 10 * MIB - sum(taken(blocks_of(each.folder)) for each in environments(root))

    _make_room(root, folder_of(root, "new"), "new", Room(enough=3 * MIB, free=free), note=notes.append)
    assert [each.name for each in environments(root)] == ["reqs-1"]
    assert sorted(path.name for path in given_folder(root, "reqs-0").iterdir() if path.name[0] != ".") == [
        "given.json",
        "lock.txt",
    ]


def _install(root: Path, index: Path, name: str) -> Path:
    """A real environment, with a package in it that is the environment's own."""
    folder = root / ".tox" / name
    subprocess.run([tooling.uv(), "venv", "-q", "--clear", "-p", sys.executable, folder], check=True)
    command: list[str | Path] = [
        tooling.uv(),
        "pip",
        "install",
        "-q",
        "--offline",
        "--no-index",
        "-f",
        index,
        "--link-mode=copy",
    ]
    subprocess.run([*command, "-p", folder / "bin" / "python", "torch==2.0.1", "filelock==3.9.0"], check=True)
    _file(folder / "lib" / "libtorch.so")
    (folder / INSTALLED).write_text("{}", encoding="utf-8")
    return folder


def _run_of(root: Path, index: Path, names: Collection[str], room: Room, notes: list[str]) -> None:
    """A run of a matrix: each environment is held, installed where it is not there, and used."""
    left = list(names)
    while left:
        with holding(root, left[0], notes.append):
            if not python_of(root, left[0]).exists():
                folder = folder_of(root, left[0])
                of_this = Room(enough=room.enough, needed=frozenset(left), free=room.free)
                with room_for(root, folder, left[0], of_this, note=notes.append):
                    _install(root, index, left[0])
                    assert room.free(folder) >= 0, f"{left[0]} does not fit"
            subprocess.run([str(python_of(root, left[0])), "-c", "import torch, filelock"], check=True)
        left.pop(0)


def test_a_matrix_of_ten_runs_through_with_room_for_seven(
    root: Path, index: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(root / "uv-cache"))
    size = taken(blocks_of(_install(root, index, "ten-0")))
    room = Room(enough=size + size // 4, free=_quota(root, 7 * size + size // 2))
    names = [f"ten-{number}" for number in range(10)]
    _run_of(root, index, names, room, notes)
    assert _left(root) == names[3:]
    assert [note.split("environment of ")[1].split(",")[0] for note in notes] == names[:3]
    # Again: of what the rest of the run needs, nothing goes, and so it is not all installed anew.
    notes.clear()
    _run_of(root, index, names[3:], room, notes)
    assert notes == []


def test_two_runs_beside_each_other_never_remove_what_the_other_is_at(
    root: Path, index: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(root / "uv-cache"))
    size = taken(blocks_of(_install(root, index, "one-0")))
    room = Room(enough=size + size // 4, free=_quota(root, 5 * size))
    errors: list[BaseException] = []

    def run(names: list[str]) -> None:
        try:
            _run_of(root, index, names, room, notes)
        except BaseException as error:  # noqa: BLE001 - it is the other thread's to tell
            errors.append(error)

    runs = [
        threading.Thread(target=run, args=([f"{which}-{number}" for number in range(4)],)) for which in ("one", "two")
    ]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert not errors
    assert 2 <= len(_left(root)) <= 5
