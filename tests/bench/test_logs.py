"""Logs that are capped, and files of others that are read with care."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.bench.logs import LARGEST, CappedLog, UnreadableError, read_end, tail


def test_a_log_keeps_what_is_small(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "log")
    for word in (b"one\n", b"", b"two\n"):
        log.write(word)
    log.close()
    log.close()
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("size", [1, 1000, 65536, 2**18])
def test_a_log_keeps_the_end_of_what_is_large(tmp_path: Path, size: int) -> None:
    log = CappedLog(tmp_path / "log")
    count = max(4, 40 * 2**20 // size) if size > 1 else 1000
    for number in range(count):
        log.write(b"%07d|" % number + b"x" * (size - 1))
        assert (tmp_path / "log").stat().st_size <= LARGEST
    end = tail(tmp_path / "log", 3 * (size + 7))
    assert f"{count - 1:07d}|" in end
    assert end.endswith("x" * min(1000, size - 1))
    if size > 1:
        # What was cut is told, and even right after a cut there is something to read.
        assert (tmp_path / "log").read_bytes().startswith(b"[... ")
        assert (tmp_path / "log").stat().st_size > 2**15
    log.close()


@pytest.mark.parametrize("gone", ["folder", "directory in its place", "link"])
def test_a_log_that_cannot_be_written_costs_nothing_else(tmp_path: Path, gone: str) -> None:
    path = tmp_path / "log"
    if gone == "folder":
        path = tmp_path / "nowhere" / "log"
    elif gone == "link":
        path.symlink_to(tmp_path / "target")
    else:
        path.mkdir()
    log = CappedLog(path)
    log.write(b"x" * 100)
    log.close()
    assert not (tmp_path / "target").exists()
    assert tail(path, 10) == ""


def test_a_full_disk_costs_what_was_printed() -> None:
    log = CappedLog(Path("/dev/full"))
    log.write(b"x" * 100)
    log.close()


def test_the_end_of_a_file_is_read_however_large_it_is(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(2**34)  # 16 GiB, of which none is on disk
        file.seek(0, os.SEEK_END)
        file.write("the end \xe9".encode("latin-1"))
    assert tail(path, 9) == "the end \ufffd"
    with pytest.raises(UnreadableError, match="it has 17179869193 bytes"):
        read_end(path, 100, whole=True)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    fifo, link, zero = tmp_path / "fifo", tmp_path / "link", Path("/dev/zero")
    os.mkfifo(fifo)
    link.symlink_to("/etc/passwd")
    for path in (fifo, link, zero, tmp_path):
        with pytest.raises(UnreadableError):
            read_end(path, 100)
        assert tail(path, 100) == ""
    assert read_end(tmp_path / "nothing", 100) == b""
