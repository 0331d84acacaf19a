"""Who holds what, without holding it: the kernel's own list of locks."""

from __future__ import annotations

from pathlib import Path

from harness.bench.hold import HOLD_FILE, holder

_LOCKS = Path("/proc/locks")
_COLONS = 2
"""In how the kernel names a file: device, as two numbers, and inode."""


def is_held(folder: Path) -> bool:
    """Whether somebody has `folder` (`harness.bench.hold`). Nothing is locked meanwhile, so that nobody is told so."""
    return is_locked(folder / HOLD_FILE)


def is_locked(file: Path) -> bool:
    """Whether somebody has locked `file`, alone or with others."""
    try:
        inode = file.stat().st_ino
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    # By inode alone: overlay and btrfs tell another device there than of the file itself.
    return any(word.endswith(f":{inode}") and word.count(":") == _COLONS for line in lines for word in line.split())


def holder_of(folder: Path) -> str:
    """Who has `folder`, for a person; nothing where nobody has."""
    return holder(folder) if is_held(folder) else ""
