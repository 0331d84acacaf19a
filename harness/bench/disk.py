"""How much room there is where a child writes, and the removal of what it wrote."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

NO_RESULT = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""The errors of a system that say nothing of whoever met them."""


class Space(NamedTuple):
    """What is free to this user on a file system: in bytes, and as a share of the whole."""

    free: int
    share: float


def space_at(folder: Path, *, reserved: bool = True) -> Space:
    """The space on the file system of `folder`, or of what is left of its path; none where no more files fit.

    What is `reserved` for root counts where this is root, who can write there, unless it is left out: nobody should
    plan to fill it.
    """
    try:
        found = os.statvfs(folder)
    except (FileNotFoundError, NotADirectoryError):
        return space_at(folder.parent, reserved=reserved)
    of_root = reserved and os.geteuid() == 0
    blocks, nodes = (found.f_bfree, found.f_ffree) if of_root else (found.f_bavail, found.f_favail)
    if found.f_files and not nodes:  # 0 files in all: the file system does not count them
        return Space(0, 0.0)
    return Space(blocks * found.f_frsize, blocks / max(1, found.f_blocks))


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, also where a child took the rights away; what cannot be removed stays."""

    def retry(remove: Callable[[str], object], path: str, _: Any) -> None:
        with contextlib.suppress(OSError):
            if Path(path) != folder:
                Path(path).parent.chmod(0o700)
            if not Path(path).is_symlink():  # what it points to is not ours to change
                Path(path).chmod(0o700)
            remove(path)

    if not folder.exists():
        return
    shutil.rmtree(folder, onerror=retry)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)  # a folder that could not be listed before


@contextlib.contextmanager
def only_meanwhile(folder: Path) -> Iterator[None]:
    """See that nothing is in `folder`, whatever a killed process left, before the context and after it."""
    remove_tree(folder)
    try:
        yield
    finally:
        remove_tree(folder)
