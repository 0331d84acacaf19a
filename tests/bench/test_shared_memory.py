"""Shared memory of real processes: counted once, and removed where its makers have left it behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import shared_memory
from pathlib import Path

import pytest

from harness.bench.processes import Limits, watch
from harness.bench.shared_memory import SharedMemory, shared_mb
from tests.bench.children import Kept, alive

SHM = Path("/dev/shm")

pytestmark = pytest.mark.skipif(
    not (SHM.is_dir() and os.access(SHM, os.W_OK) and os.statvfs(SHM).f_bavail * os.statvfs(SHM).f_frsize > 2**30),
    reason="needs a /dev/shm of 1 GiB",
)


@pytest.fixture
def name(tmp_path: Path) -> Iterator[str]:
    """A name in /dev/shm that is nobody's."""
    found = f"harness-test-{os.getpid()}-{tmp_path.name}"
    yield found
    for left in SHM.glob(f"{found}*"):
        left.unlink()


PART = "part = bytes(range(256)) * 2**16\n"  # 16 MiB

WRITES = {
    "a file that is open": (
        f"import sys, time\n{PART}f = open(f'/dev/shm/{{sys.argv[1]}}', 'wb')\n"
        "for _ in range(64): f.write(part); time.sleep(0.02)\ntime.sleep(60)"
    ),
    "a file that is closed again": (
        f"import sys, time\n{PART}\nwith open(f'/dev/shm/{{sys.argv[1]}}', 'wb') as f:\n"
        "    for _ in range(64): f.write(part); time.sleep(0.02)\ntime.sleep(60)"
    ),
    "a file without a name": (
        f"import os, sys, time\n{PART}f = open(f'/dev/shm/{{sys.argv[1]}}', 'wb')\nos.unlink(f.name)\n"
        "for _ in range(64): f.write(part); time.sleep(0.02)\ntime.sleep(60)"
    ),
    "a memfd": (
        f"import os, time\n{PART}fd = os.memfd_create('x')\nfor _ in range(64): os.write(fd, part); time.sleep(0.02)\n"
        "time.sleep(60)"
    ),
    "a memfd that is mapped and closed": (
        f"import mmap, os, time\n{PART}fd = os.memfd_create('x')\nos.ftruncate(fd, 2**30)\n"
        "m = mmap.mmap(fd, 2**30)\nos.close(fd)\nfor _ in range(64): m.write(part); time.sleep(0.02)\ntime.sleep(60)"
    ),
    "anonymous shared pages": (
        f"import mmap, time\n{PART}m = mmap.mmap(-1, 2**30)\nfor _ in range(64): m.write(part); time.sleep(0.02)\n"
        "time.sleep(60)"
    ),
    "a POSIX segment of a descendant with a session of its own": (
        "import subprocess, sys, time\n"
        "code = '''\nfrom multiprocessing import shared_memory\nimport sys, time\n"
        "s = shared_memory.SharedMemory(sys.argv[1], create=True, size=2**30)\n"
        "for i in range(0, 2**30, 2**24): s.buf[i:i + 2**24] = bytes(2**24); time.sleep(0.02)\ntime.sleep(60)'''\n"
        "subprocess.Popen([sys.executable, '-c', code, sys.argv[1]], start_new_session=True)\ntime.sleep(60)"
    ),
}


FILLS = f"import sys, time\n{PART}f = open(*sys.argv[1:])\nfor _ in range(8): f.write(part)\ntime.sleep(1.2)"


@pytest.mark.parametrize("way", WRITES)
def test_it_counts_toward_the_limit_and_nothing_is_left(kept: Kept, name: str, way: str) -> None:
    before = set(SHM.iterdir())
    ended = watch(kept(WRITES[way], name), Limits(timeout_s=15.0, memory_limit_mb=400))
    assert ended.stopped == "out-of-memory"
    assert 400 < ended.peak_mb < 1300
    assert set(SHM.iterdir()) <= before


@pytest.mark.parametrize("way", ["a file that is open", "a memfd that is mapped and closed"])
def test_below_the_limit_it_is_measured(kept: Kept, name: str, way: str) -> None:
    code = WRITES[way].replace("time.sleep(60)", "time.sleep(0.6)").replace("range(64)", "range(16)")
    ended = watch(kept(code, name), Limits(timeout_s=15.0, memory_limit_mb=2000))
    assert (ended.returncode, ended.stopped) == (0, "")
    assert 256 < ended.peak_mb < 256 + 60


def test_what_several_processes_map_counts_once(kept: Kept, name: str) -> None:
    code = """
import mmap, os, sys, time
f = open(f"/dev/shm/{sys.argv[1]}", "w+b")
f.truncate(2**28)
for _ in range(3):
    if os.fork() == 0:
        break
m = mmap.mmap(f.fileno(), 2**28)
for i in range(0, 2**28, 4096): m[i]
for i in range(0, 2**28, 2**24): m[i:i + 2**24] = bytes(2**24)
time.sleep(1)
"""
    ended = watch(kept(code, name), Limits(timeout_s=15.0, memory_limit_mb=600))  # counted for each it were 1024
    assert ended.returncode == 0
    assert ended.stopped == ""


def test_it_counts_once_also_while_others_let_go_of_as_much(kept: Kept, name: str) -> None:
    """What the machine has of it in all does not grow: what another process had is what this group takes."""
    code = """
import mmap, os, sys, time
for _ in range(3):
    if os.fork() == 0:
        break
f = open(f"/dev/shm/{sys.argv[1]}", "r+b")
m = mmap.mmap(f.fileno(), 2**28)
for i in range(0, 2**28, 4096): m[i]
time.sleep(1)
"""
    with (SHM / name).open("wb") as file:
        file.write(bytes(2**28))
    ended = watch(kept(code, name), Limits(timeout_s=15.0, memory_limit_mb=600))
    assert (ended.returncode, ended.stopped) == (0, "")


def test_what_was_there_before_stays(kept: Kept, name: str) -> None:
    path = SHM / name
    path.write_bytes(b"mine")
    assert watch(kept(FILLS, path, "r+b"), Limits(15.0, 2000)).returncode == 0
    assert path.stat().st_size == 8 * 2**24


def test_what_somebody_else_has_open_stays(kept: Kept, name: str) -> None:
    """Made by the group, and used by a process that is no part of it."""
    reader = (
        f"import os, time\nwhile not os.path.exists('/dev/shm/{name}'): time.sleep(0.01)\n"
        f"f = open('/dev/shm/{name}')\ntime.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", reader])
    try:
        assert watch(kept(FILLS, SHM / name, "wb"), Limits(15.0, 2000)).returncode == 0
        assert (SHM / name).exists()
        assert alive(other.pid)
    finally:
        other.kill()
        other.wait()


def test_what_others_make_is_neither_counted_nor_removed(kept: Kept, name: str) -> None:
    shared = SharedMemory()
    segment = shared_memory.SharedMemory(name, create=True, size=2**26)
    try:
        assert segment.buf is not None
        segment.buf[:] = bytes(2**26)
        assert shared_mb() > 60
        shared.look([os.getppid()])
        assert shared.beyond_resident_mb == 0.0
        assert shared.remove_what_was_left() == []
        assert (SHM / name).exists()
    finally:
        segment.close()
        segment.unlink()


def test_a_file_in_a_folder_that_was_there_before_stays(kept: Kept, name: str) -> None:
    """The scratch of an attempt may lie on tmpfs: what a step leaves there is its artifact."""
    folder = SHM / f"{name}-folder"
    folder.mkdir()
    try:
        assert watch(kept(FILLS, folder / "x", "wb"), Limits(15.0, 2000)).returncode == 0
        assert (folder / "x").stat().st_size == 8 * 2**24
    finally:
        (folder / "x").unlink()
        folder.rmdir()
