"""Shared memory of a process group: files on tmpfs, POSIX and System V segments, memfds, shared anonymous pages.

Its pages belong to a file rather than to a process: what is written there and not mapped is in no process's resident
memory, and what several processes map is in that of each. Here each file counts once, with all its pages. The figure
is what that adds to the sum of the resident memories (or takes from it).

Sources: proc(5) on smaps and map_files, tmpfs(5).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_BLOCK = 512
"""What `st_blocks` counts in, whatever the file system's own blocks."""

_WORTH_A_LOOK_MB = 16.0
"""Looking into every mapping costs milliseconds; below this growth on the whole machine it would find nothing."""

_MOST_TO_LIST = 10_000

File = tuple[int, int]
"""Device and inode."""


class _Mapping(NamedTuple):
    file: File
    range: str
    resident: int


def shared_mb() -> float:
    """Shared memory in use on this machine; 0 where the kernel does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("Shmem:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _mounts() -> dict[int, Path]:
    """The tmpfs mounts by device."""
    found = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            fields = line.split()
            if len(fields) > 2 and fields[2] == "tmpfs":  # noqa: PLR2004 - device, mount point, type
                mount = Path(fields[1].replace("\\040", " "))
                with contextlib.suppress(OSError):
                    found[mount.stat().st_dev] = mount
    return found


def _nameless_device() -> int:
    """The device of memfds, of System V segments and of anonymous shared pages: a tmpfs that is mounted nowhere."""
    try:
        descriptor = os.memfd_create("device")
    except OSError:
        return -1
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


class SharedMemory:
    """What one group has of it, from now on. Nothing that was there before is counted as made by it, or removed."""

    def __init__(self) -> None:
        self.beyond_resident_mb = 0.0
        self.files_mb = 0.0
        self._mounts = _mounts()
        self._devices = {*self._mounts, _nameless_device()}
        self._least = shared_mb()
        self._before = {mount: _names(mount) for mount in self._mounts.values()}
        self._made: dict[File, Path] = {}

    def look(self, pids: Collection[int], *, closely: bool = False) -> None:
        """Count anew, for the processes `pids`.

        Not `closely`, what the machine has of it in all tells whether there is anything to count: others may have let
        go of as much as this group took meanwhile.
        """
        now = shared_mb()
        self._least = min(self._least, now)
        if not closely and now - self._least < _WORTH_A_LOOK_MB:
            self.beyond_resident_mb = 0.0
            return
        sizes: dict[File, int] = {}
        for pid in pids:
            for path, status in _open_files(pid):
                if status.st_dev in self._devices:
                    sizes[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK
                    self._remember(path, status)
        mapped = 0
        unseen: dict[File, int] = {}
        for pid in pids:
            for mapping in _mappings(pid, self._devices):
                mapped += mapping.resident
                if mapping.file in sizes:
                    continue
                try:
                    link = Path("/proc", str(pid), "map_files", mapping.range)
                    status, path = link.stat(), str(link.readlink())
                except OSError:
                    # Not ours to follow: the pages that a process has touched are the least that it can be.
                    unseen[mapping.file] = max(unseen.get(mapping.file, 0), mapping.resident)
                else:
                    sizes[mapping.file] = status.st_blocks * _BLOCK
                    self._remember(path, status)
        for file, made in self._made.items():  # closed again, and not gone
            if file not in sizes and (left := _status(made, file)) is not None:
                sizes[file] = left.st_blocks * _BLOCK
        self.files_mb = (sum(sizes.values()) + sum(unseen.values())) / 2**20
        self.beyond_resident_mb = self.files_mb - mapped / 2**20

    def _remember(self, path: str, status: os.stat_result) -> None:
        """Keep in mind what has a name, is ours, and lies under a name that was not there when the group began."""
        mount = self._mounts.get(status.st_dev)
        if mount is None or status.st_uid != os.getuid() or not stat.S_ISREG(status.st_mode):
            return
        with contextlib.suppress(ValueError):
            top = Path(path).relative_to(mount).parts[0]
            if (known := self._before[mount]) is not None and top not in known and ".." not in Path(path).parts:
                self._made[status.st_dev, status.st_ino] = Path(path)

    def remove_what_was_left(self) -> list[Path]:
        """Remove the files that the group made and that nobody has open any more; call it when the group has ended."""
        left = {file: path for file, path in self._made.items() if _status(path, file) is not None}
        if not left:
            return []
        devices = {device for device, _ in left}
        used: set[File] = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                used.update((s.st_dev, s.st_ino) for _, s in _open_files(int(entry.name)))
                used.update(mapping.file for mapping in _mappings(int(entry.name), devices))
        removed = []
        for file, path in left.items():
            if file not in used:
                with contextlib.suppress(OSError):
                    path.unlink()
                    removed.append(path)
        return removed


def _names(mount: Path) -> frozenset[str] | None:
    """What lies at the top of a mount; None where that is not ours to know, or too much."""
    try:
        with os.scandir(mount) as entries:
            names = frozenset(entry.name for entry, _ in zip(entries, range(_MOST_TO_LIST), strict=False))
    except OSError:
        return None
    return names if len(names) < _MOST_TO_LIST else None


def _status(path: Path, file: File) -> os.stat_result | None:
    """Of the file at `path`, as long as it is that file."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status if (status.st_dev, status.st_ino) == file else None


def _open_files(pid: int) -> Iterator[tuple[str, os.stat_result]]:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - there may be thousands
    except OSError:
        return
    for descriptor in descriptors:
        link = f"/proc/{pid}/fd/{descriptor}"
        with contextlib.suppress(OSError):
            # Following the link opens nothing, whatever it leads to.
            yield os.readlink(link), os.stat(link)  # noqa: PTH115, PTH116 - there may be thousands


def _mappings(pid: int, devices: Iterable[int]) -> list[_Mapping]:
    """The mappings of a process whose file is on one of `devices`, with their resident bytes."""
    wanted = {f"{os.major(device):02x}:{os.minor(device):02x}": device for device in devices if device >= 0}
    found: list[_Mapping] = []
    try:
        lines = Path("/proc", str(pid), "smaps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    current: tuple[File, str] | None = None
    for line in lines:
        fields = line.split(maxsplit=5)
        if fields and not fields[0].endswith(":"):  # address range, access, offset, device, inode, path
            device = wanted.get(fields[3])
            current = ((device, int(fields[4])), fields[0]) if device is not None and fields[4] != "0" else None
        elif current is not None and fields[0] == "Rss:":
            found.append(_Mapping(*current, int(fields[1]) * 1024))
            current = None
    return found
