"""What this process's control groups limit it to: memory and cores, in both versions of them, at every level.

In version 2 there is one hierarchy, in version 1 one of each controller. A limit of any group above holds as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

MEMBERSHIP = Path("/proc/self/cgroup")
SYSTEM = Path("/sys/fs/cgroup")

_LIMITLESS = 2**60
"""Version 1 says so of memory without a limit: a number of bytes that no machine has."""


def memory_limit(membership: Path = MEMBERSHIP, system: Path = SYSTEM) -> int | None:
    """The least memory limit in bytes; None where there is none."""
    found = []
    for folder, version in _groups("memory", membership, system):
        name = "memory.max" if version == 2 else "memory.limit_in_bytes"  # noqa: PLR2004
        with contextlib.suppress(OSError, ValueError):  # "max"
            found.append(int((folder / name).read_text(encoding="ascii")))
    return min((limit for limit in found if limit < _LIMITLESS), default=None)


def cores_limit(membership: Path = MEMBERSHIP, system: Path = SYSTEM) -> int | None:
    """The whole cores, at least one, that the least quota of CPU time comes to; None where there is none."""
    found = []
    for folder, version in _groups("cpu", membership, system):
        names = ("cpu.max",) if version == 2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")  # noqa: PLR2004
        with contextlib.suppress(OSError, ValueError):  # "max 100000"
            quota, period = map(int, " ".join((folder / name).read_text(encoding="ascii") for name in names).split())
            if quota > 0 and period > 0:  # -1: no limit, in version 1
                found.append(max(1, quota // period))
    return min(found, default=None)


def _groups(controller: str, membership: Path, system: Path) -> Iterator[tuple[Path, int]]:
    """The folder of each group of a controller that this process is in, the innermost first, with the version."""
    lines = []
    with contextlib.suppress(OSError):
        lines = membership.read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top, version = (system / controller, 1) if controllers else (system, 2)
        place = top / path.lstrip("/")
        # In a container the path can be the host's, of which there is nothing here but the top.
        for folder in (place, *place.parents):
            if not folder.is_relative_to(top):
                break
            yield folder, version
