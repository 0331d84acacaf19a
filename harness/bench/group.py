"""Who belongs to a child, and how all of it ends.

A *group* is a child of the bench with everything that it started, whatever that did to get away: the members of its
session, all descendants, and orphans. A process that lost its parent is handed by the kernel to the nearest ancestor
that asked for orphans (`become_subreaper`): first the keeper that started the child, then the bench. A keeper whose
bench was killed ends all that it has. What outlives even that, since both were killed, is found by a marker in its
environment (`end_leftovers`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

MARKER = "HARNESS_ATTEMPT"
"""The variable that every process of an attempt carries; its value is the attempt's folder, absolute."""

KEEPERS: set[int] = set()
"""The processes that this one has start others. They are nobody's leftovers."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OUTRUN_S = 0.05
_PATIENCE_S = 10.0
"""How long a killed process may take to go; only one that hangs in the kernel takes longer."""

# Fields of /proc/PID/stat after the name.
_STATE, _PARENT, _SESSION, _THREADS, _STARTED = 0, 1, 3, 17, 19

_adopting = False


def _prctl(option: int, value: int) -> bool:
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    return False


def die_with_parent(parent: int | None = None) -> None:
    """Let the kernel kill this process when its parent dies, so that a killed run leaves nothing behind.

    With `parent`, the pid that it had when this process was made, one that died before this call counts too.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def outlive_parent() -> None:
    """Take back `die_with_parent`, for a process that notices and has to clear up."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def become_subreaper() -> bool:
    """Have the kernel hand this process the orphans among its descendants; False where it does not know how."""
    global _adopting  # noqa: PLW0603 - it is the process that has this property
    _adopting = _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    return _adopting


class Process(NamedTuple):
    """What tells a process apart. `started`, in clock ticks since boot, tells its pid from the same one used again."""

    parent: int
    session: int
    started: int
    alive: bool


def processes() -> dict[int, Process]:
    """Every process of this machine by pid, zombies too."""
    found = {}
    with os.scandir("/proc") as entries:
        names = [entry.name for entry in entries if entry.name.isdigit()]
    for name in names:
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - hundreds of them, five times a second
                # The name is in parentheses and may hold anything; what follows the last one is fixed.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        # A process whose first thread has ended looks like a zombie and goes on in the others.
        alive = fields[_STATE] not in (b"Z", b"X") or int(fields[_THREADS]) > 1
        found[int(name)] = Process(int(fields[_PARENT]), int(fields[_SESSION]), int(fields[_STARTED]), alive)
    return found


def descendants(table: Mapping[int, Process], roots: Iterable[int]) -> set[int]:
    """`roots` and all that descends from them."""
    children: dict[int, list[int]] = {}
    for pid, process in table.items():
        children.setdefault(process.parent, []).append(pid)
    found = set(roots)
    ahead = list(found)
    while ahead:
        new = [pid for pid in children.get(ahead.pop(), ()) if pid not in found]
        found.update(new)
        ahead += new
    return found


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


class Group:
    """The processes that belong to one child. `keeper` is what started it, or 0 where this process did.

    A keeper has one child at a time, so whatever else descends from it is that child's.
    """

    def __init__(self, leader: int, keeper: int = 0) -> None:
        self.leader = leader
        self.keeper = keeper
        table = processes()
        self._seen = {leader: table[leader].started} if leader in table else {}
        self._others = {pid for pid, process in table.items() if process.parent == os.getpid()}

    def _orphans(self, table: Mapping[int, Process]) -> set[int]:
        """What the kernel handed over: to the keeper, or to this process where the keeper has died."""
        own, keeper = os.getpid(), table.get(self.keeper)
        if self.keeper and keeper is not None and keeper.alive:
            return {pid for pid, process in table.items() if process.parent == self.keeper}
        if not _adopting:
            return set()
        return {pid for pid, process in table.items() if process.parent == own} - self._others - KEEPERS

    def _members(self, table: Mapping[int, Process]) -> list[int]:
        orphans = self._orphans(table)
        for pid in orphans:
            if not table[pid].alive and table[pid].parent == os.getpid():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)  # nobody else waits for it
        roots = {pid for pid, process in table.items() if process.session == self.leader} | orphans
        roots |= {pid for pid, started in self._seen.items() if pid in table and table[pid].started == started}
        found = descendants(table, roots) - {os.getpid(), self.keeper, *KEEPERS}
        members = [pid for pid in found if pid in table and table[pid].alive]
        self._seen.update((pid, table[pid].started) for pid in members)
        return members

    def members(self) -> list[int]:
        """Process ids of all that live."""
        return self._members(processes())

    def end(self) -> None:
        """Kill all of them, and what they start meanwhile, until none is left."""
        deadline = time.monotonic() + _PATIENCE_S
        killed: set[int] = set()
        while (left := self.members()) and time.monotonic() < deadline:
            _kill(left)
            if killed.issuperset(left):
                time.sleep(0.005)  # they are going; a large one takes a moment
            elif killed:
                self._outrun()
            killed.update(left)

    def _outrun(self) -> None:
        """Kill what hops from process to process faster than /proc can be searched: each hop is an orphan once."""
        own = os.getpid()
        path = f"/proc/{self.keeper or own}/task/{self.keeper or own}/children"
        until = time.monotonic() + _OUTRUN_S
        while time.monotonic() < until:
            try:
                with open(path, "rb") as file:  # noqa: PTH123 - it is about microseconds
                    found = [int(pid) for pid in file.read().split()]
            except OSError:
                return  # a kernel that does not tell, or a keeper that has died
            if self.keeper:
                _kill(found)
            elif _adopting:
                _kill(set(found) - self._others - KEEPERS)


def _carries(pid: int, wanted: bytes) -> bool:
    try:
        folder = Path("/proc", str(pid))
        return folder.stat().st_uid == os.getuid() and wanted in (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _line(table: Mapping[int, Process], pid: int) -> set[int]:
    """`pid` and its ancestors."""
    found: set[int] = set()
    while pid in table and pid not in found:
        found.add(pid)
        pid = table[pid].parent
    return found


def end_leftovers(marker: str, *, spare: Collection[int] = ()) -> int:
    """Kill every process of this user that carries `marker`, and what descends from it; return how many there were.

    This process, its ancestors, its keepers and `spare` stay. Daemons are found too, whoever their parent is by now.
    """
    wanted = f"{MARKER}={marker}".encode()
    deadline = time.monotonic() + _PATIENCE_S
    ended: dict[int, int] = {}
    while True:
        table = processes()
        line = _line(table, os.getpid())
        carriers = {pid for pid in table if _carries(pid, wanted)} - (line - {os.getpid()})
        # One that was killed shows no environment any more while it goes.
        carriers |= {pid for pid, started in ended.items() if pid in table and table[pid].started == started}
        found = descendants(table, carriers) - line - KEEPERS - set(spare)
        left = {pid for pid in found if pid in table and table[pid].alive}
        if not left or time.monotonic() > deadline:
            return len(ended)
        _kill(left)
        if ended.keys() >= left:
            time.sleep(0.005)
        ended.update((pid, table[pid].started) for pid in left)
