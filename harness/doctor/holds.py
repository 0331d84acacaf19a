"""Who holds what, without holding it: the kernel's own list of locks."""

from __future__ import annotations

import os
from pathlib import Path

from harness.bench.hold import HOLD_FILE, holder

_LOCKS = Path("/proc/locks")


def is_held(folder: Path) -> bool:
    """Whether somebody has `folder` (`harness.bench.hold`). Nothing is locked meanwhile, so that nobody is told so."""
    try:
        status = (folder / HOLD_FILE).stat()
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    return any(wanted in line.split() for line in lines)


def holder_of(folder: Path) -> str:
    """Who has `folder`, for a person; nothing where nobody has."""
    return holder(folder) if is_held(folder) else ""
