"""Gives an environment files of its own where uv linked them to its cache.

uv installs by hard links: a file that is edited in place is edited in the cache too, and in every environment that is
installed from it later. Small files are what people and tools edit; copying the large ones would cost gigabytes.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from harness.matrix.wholeness import OURS, take

LARGEST = 2**20
"""Bytes: up to this size a file is copied. In torch 2.0's environment: 38500 of 38600 files, 386 MB of 6.4 GB."""

_SCRATCH = f"{OURS}private"


def make_private(folder: Path) -> int:
    """Break the hard links of every file up to `LARGEST` bytes below an environment's folder; how many there were.

    A copy is made beside and renamed into place, so that whoever kills this leaves whole files. Time and mode stay.
    """
    scratch = folder / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    linked = []
    for path in take(folder):
        status = os.lstat(folder / path)
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1 and status.st_size <= LARGEST:
            linked.append((str(folder / path), status))
    if linked:
        scratch.mkdir()
        for number, (path, status) in enumerate(linked):
            _copy(path, status, f"{scratch}/{number}")
        scratch.rmdir()
    return len(linked)


def _copy(path: str, status: os.stat_result, beside: str) -> None:
    source = os.open(path, os.O_RDONLY)
    try:
        target = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            while data := os.read(source, LARGEST + 1):
                written = os.write(target, data)
                while written < len(data):
                    written += os.write(target, data[written:])
            os.fchmod(target, status.st_mode & 0o7777)
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(target)
    finally:
        os.close(source)
    os.rename(beside, path)  # noqa: PTH104 - paths as text, tens of thousands of them
