"""What folders take on disk, and what removing them would free.

uv links what it installs to its cache: such a file takes no room of its own, and removing one of its names frees
nothing. What is freed are the blocks of files all of whose names go.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

Inode = tuple[int, int]
"""Device and number."""


class File(NamedTuple):
    """A file: how many names it has below the folder that was looked at, how many in all, and its size in blocks."""

    here: int
    names: int
    size: int


Blocks = Mapping[Inode, File]
"""All that is below a folder, and the folder itself. Sizes are in bytes, as allocated."""


def blocks_of(folder: Path) -> Blocks:
    """What there is of `folder`; links are not followed. What goes meanwhile is left out."""
    found: dict[Inode, File] = {}
    waiting = [str(folder)]
    with contextlib.suppress(OSError):
        status = os.lstat(folder)
        found[status.st_dev, status.st_ino] = File(1, 1, status.st_blocks * 512)
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                entries = list(listing)
        except OSError:
            continue
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                inode, is_folder = (status.st_dev, status.st_ino), entry.is_dir(follow_symlinks=False)
                if is_folder:
                    waiting.append(entry.path)
                here = found[inode].here + 1 if inode in found else 1
                # The names of a folder are its own, and those by which its content knows it.
                found[inode] = File(here, here if is_folder else status.st_nlink, status.st_blocks * 512)
    return found


def taken(blocks: Blocks) -> int:
    """Bytes of all that is there, each file once."""
    return sum(file.size for file in blocks.values())


def freed(*removed: Blocks) -> int:
    """Bytes that are free when all of `removed` are gone, and not before: of files that have no other name."""
    names: Counter[Inode] = Counter()
    files: dict[Inode, File] = {}
    for blocks in removed:
        for inode, file in blocks.items():
            names[inode] += file.here
            files[inode] = file
    return sum(file.size for inode, file in files.items() if names[inode] >= file.names)
