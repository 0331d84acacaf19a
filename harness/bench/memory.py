"""Memory of this process and of a process group, from /proc, in MiB (measured in KiB or pages)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def _status_mb(key: str) -> float:
    with Path("/proc/self/status").open(encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    msg = f"/proc/self/status has no {key}"
    raise OSError(msg)


def rss_mb() -> float:
    """Resident memory of this process."""
    return _status_mb("VmRSS:")


def peak_rss_mb() -> float:
    """The most resident memory this process had since it started, or since `reset_peak`."""
    return _status_mb("VmHWM:")


def reset_peak() -> bool:
    """Let the peak be counted from now on; False where the kernel does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def offer_to_oom_killer() -> None:
    """Make this process the first that the kernel kills when memory runs out: a cell, never the run."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def oom_kills() -> int:
    """How often the kernel's OOM killer has struck on this machine; 0 where it does not tell."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def resident_mb(pids: list[int]) -> float:
    """Resident memory of several processes; what they share is counted for each."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):
            total += int(Path("/proc", str(pid), "statm").read_text(encoding="ascii").split()[1]) * _PAGE_MB
    return total


def unshared_mb(pids: list[int]) -> float:
    """Resident memory of several processes without pages of shared memory, which `harness.bench.shared_memory` counts.

    Both are read at once: of what is shared or let go of meanwhile nothing counts twice.
    """
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError, KeyError):
            lines = Path("/proc", str(pid), "status").read_text(encoding="utf-8", errors="replace").splitlines()
            found = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
            total += sum(int(found[name].split()[0]) for name in ("RssAnon", "RssFile")) / 1024
    return total
