"""Starts the processes of a cell, watches them, and ends their whole group.

A child is either forked from a warm process, which has imported the frameworks once, or started fresh; both by a
keeper (`harness.bench.keeper`), never by the bench itself. It leads a session of its own, and whatever it starts is
found, counted and killed with it (`harness.bench.group`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from harness.bench import memory
from harness.bench.disk import Space, space_at
from harness.bench.errors import BenchBrokenError, InterpreterGoneError
from harness.bench.group import KEEPERS, MARKER, Group
from harness.bench.shared_memory import SharedMemory

LAUNCHER = Path(__file__).with_name("launch.py")

# How often memory is looked at, and how often /proc is searched for the group's processes. A child's end is told at
# once, whatever these are. With 100 processes on the machine a look costs 0.02 ms and a search 2 ms: 1 % of one core,
# and 0.1 % while something is timed.
_LOOK_S, _SEARCH_S = 0.05, 0.2
_QUIET_LOOK_S, _QUIET_SEARCH_S = 0.25, 2.0

_FORKED = ("building", "converting")
"""The roles of children that are forked from a warm process."""

_ANSWER_S = 30.0
"""How long a keeper may take to start a child."""

_END_S = 5.0
"""How long it may take to tell that a child has ended that is dead; after that the keeper itself is at fault."""


@dataclass(frozen=True)
class Limits:
    """What a process group may use."""

    timeout_s: float
    memory_limit_mb: float


@dataclass(frozen=True)
class Ended:
    """How a process ended. `returncode` is negative for a signal. `stopped` is why we ended it, if we did.

    With `keeper_died` its return code is not known: its keeper died, and it with that. `least_space` is the least that
    was seen to be free where it worked.
    """

    returncode: int
    stopped: str = ""
    oom_killed: bool = False
    peak_mb: float = 0.0
    keeper_died: bool = False
    least_space: Space | None = None


class KeeperError(Exception):
    """A keeper is not there any more, and whatever it had running has died with it."""


class WarmError(KeeperError):
    """The same of a warm process; an import that kills its process is a reason too."""


class Child(Protocol):
    """A running process that leads its own session, and works in `folder`.

    `keeper` is the pid of what started it, 0 for this process.
    """

    pid: int
    keeper: int
    folder: Path

    def poll(self, timeout_s: float = 0.0) -> int | None:
        """Its return code once it has ended, which is waited for at most `timeout_s`. Raises `KeeperError`."""
        ...

    def forsake(self) -> None:
        """End the keeper, which does not tell the end of a child that is dead."""
        ...


_OF_TENSORFLOW = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def child_environ(
    device: str, threads: int, *, marker: str = "", base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables of every child: equal threads for every runtime, one GPU or none, no downloads, less noise.

    `marker` is the attempt's folder, by which the next start finds what outlived a killed bench. `base` is what they
    are added to: this process's own, where it is left out.
    """
    # What is set for the outer pytest is not meant for the one that serves.
    around = os.environ if base is None else base
    environ = {name: value for name, value in around.items() if not name.startswith("PYTEST_")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each import of TensorFlow would take twice as long
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", *_OF_TENSORFLOW):
        environ[name] = str(threads)
    environ.update(
        # Threads that have nothing to do sleep: spinning takes a core from whoever else has work.
        OMP_WAIT_POLICY="PASSIVE",
        KMP_BLOCKTIME="0",
        PYTHONHASHSEED="0",
        TF_CPP_MIN_LOG_LEVEL="2",
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
    )
    # CUDA's first device alone: TensorFlow would open all that it sees.
    visible = environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    environ["CUDA_VISIBLE_DEVICES"] = "" if device == "cpu" else visible
    if marker:
        environ[MARKER] = marker
    return environ


class Watch:
    """What is seen of a child's group while it runs; once it is to end, no process of it is left.

    `look` counts anew, and says in `stopped` why it has to end, where it outran its limits. `end` ends it, and
    afterwards `ended` says how it did.
    """

    def __init__(self, child: Child, limits: Limits) -> None:
        self.stopped = ""
        self._child, self._limits = child, limits
        self._kills_before = memory.oom_kills()
        self._group, self._shared = Group(child.pid, child.keeper), SharedMemory()
        self._peak_mb = 0.0
        self._least_space: Space | None = None
        self._started = self._searched = time.monotonic()
        self._members = [child.pid]

    def go_on(self, limits: Limits) -> None:
        """Hold it against other limits, with the time counted from now on; what it made before stays known."""
        self._limits, self._started = limits, time.monotonic()

    def look(self, *, search_s: float = _SEARCH_S) -> list[int]:
        """The pids of the group, searched for anew where that was done more than `search_s` ago."""
        now = time.monotonic()
        if now - self._searched > search_s:
            self._search(now)
        used = memory.resident_mb(self._members) + self._shared.beyond_resident_mb
        if used > self._limits.memory_limit_mb:  # what came to be shared since counts for each until then
            self._search(now, closely=True)
            used = memory.unshared_mb(self._members) + self._shared.files_mb
        self._peak_mb = max(self._peak_mb, used)
        space = space_at(self._child.folder)
        self._least_space = min(space, self._least_space or space)
        if used > self._limits.memory_limit_mb:
            self.stopped = "out-of-memory"
        elif now - self._started > self._limits.timeout_s:
            self.stopped = "timed-out"
        return self._members

    def _search(self, now: float, *, closely: bool = False) -> None:
        self._members, self._searched = self._group.members(), now
        self._shared.look(self._members, closely=closely)

    def end(self) -> None:
        """End the group, and remove what it left in shared memory."""
        self._group.end()
        self._shared.remove_what_was_left()

    def ended(self) -> Ended:
        """How the child ended, whose group was ended."""
        try:
            returncode = self._child.poll(_END_S)
        except KeeperError:
            returncode = None
        how = Ended(-signal.SIGKILL, self.stopped, peak_mb=self._peak_mb, least_space=self._least_space)
        if returncode is None:
            self._child.forsake()
            self._group.end()  # what the keeper had adopted came to this process
            return replace(how, keeper_died=True)
        killed = returncode == -signal.SIGKILL and not self.stopped and memory.oom_kills() > self._kills_before
        return replace(how, returncode=returncode, oom_killed=killed)


def watch(
    child: Child,
    limits: Limits,
    *,
    sample: Callable[[list[int]], None] | None = None,
    sample_s: float = _LOOK_S,
    quiet: bool = False,
    seen: Watch | None = None,
) -> Ended:
    """Wait for `child`, ending its group when it outruns `limits`; `sample` is called with the group's pids meanwhile.

    That is every `sample_s` seconds. `quiet` is for a child that is timed: it looks less often, and samples no oftener
    than that. `seen` is what was seen of the child before. However this ends, no process of the group is left, and none
    of the files that it made in shared memory and left behind.
    """
    look_s, search_s = (_QUIET_LOOK_S, _QUIET_SEARCH_S) if quiet else (_LOOK_S, _SEARCH_S)
    wait_s = look_s if quiet or sample is None else min(look_s, sample_s)
    seen = seen or Watch(child, limits)
    seen.go_on(limits)
    members, looked = [child.pid], time.monotonic()
    try:
        while not seen.stopped and child.poll(wait_s) is None:
            if wait_s == look_s or time.monotonic() - looked >= look_s:
                members, looked = seen.look(search_s=search_s), time.monotonic()
            if sample is not None:
                sample(members)
    except KeeperError:
        pass  # told by how it ended
    finally:
        seen.end()
    return seen.ended()


class Keeper:
    """A process that starts fresh children, so that none of them has this one as its parent.

    `ready_s` is how long it may take to say that it is there. Raises `InterpreterGoneError`, `KeeperError`.
    """

    error: type[KeeperError] = KeeperError

    def __init__(
        self, log: Path | None, *, environ: Mapping[str, str], imports: tuple[str, ...] = (), ready_s: float = _ANSWER_S
    ) -> None:
        self._buffer = b""
        self._busy = False
        with open(log or os.devnull, "ab") as output:  # noqa: PTH123 - /dev/null is no path of ours
            try:
                self._process = subprocess.Popen(
                    [sys.executable, str(LAUNCHER), "keeper", *imports],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    env=environ,
                    start_new_session=True,
                )
            except FileNotFoundError:
                msg = "the environment's interpreter has gone while cells ran."
                raise InterpreterGoneError(msg) from None
        self.pid = self._process.pid
        KEEPERS.add(self.pid)
        try:
            self._answer(ready_s)
        except BaseException:
            self.close()
            raise

    def _read(self, timeout_s: float) -> dict[str, int] | None:
        """One line from the process, as JSON; None where there was none in time."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            chunk = os.read(descriptor, 65536)
            if not chunk:
                msg = "ended while importing" if not self._busy else "ended"
                raise self.error(msg)
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, int] = json.loads(line)
        return answer

    def _answer(self, timeout_s: float) -> dict[str, int]:
        """One line, which must come in time."""
        answer = self._read(timeout_s)
        if answer is None:
            msg = f"did not answer within {timeout_s:g} s"
            raise self.error(msg)
        return answer

    def child(self, folder: Path, *, cwd: Path, **how: Any) -> Child:
        """Start a child that works in `folder`; `how` is what the request has besides. Raises `KeeperError`."""
        assert self._process.stdin is not None
        if self._process.poll() is not None:
            self.close()
            msg = "ended"
            raise self.error(msg)
        if self._busy and self.ended(_END_S) is None:  # somebody was interrupted while waiting for the one before
            self.close()
            msg = "is not done with the child before"
            raise self.error(msg)
        self._busy = True
        try:
            request = {"folder": str(folder), "cwd": str(cwd), **how}
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            return _Kept(self, self._answer(_ANSWER_S)["pid"], folder)
        except BaseException as error:
            self.close()  # and with it a child whose pid was not told
            if isinstance(error, BrokenPipeError):
                msg = "ended"
                raise self.error(msg) from error
            raise

    def ended(self, timeout_s: float) -> int | None:
        """Return code of the child, if it ends in time. Raises `KeeperError`."""
        answer = self._read(timeout_s)
        if answer is None:
            return None
        self._busy = False
        return answer["returncode"]

    def is_alive(self) -> bool:
        """Whether it can start another child."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and whatever it still has."""
        KEEPERS.discard(self.pid)
        if self._process.poll() is None:  # its pid is nobody else's
            Group(self.pid).end()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Warm(Keeper):
    """A keeper that has imported `imports` once and forks a child a request, which need not import them again.

    An import that fails is left to the children, which meet the same error at the stage `import`.
    """

    error = WarmError

    def __init__(self, imports: tuple[str, ...], log: Path, *, environ: Mapping[str, str], timeout_s: float) -> None:
        self.imports = imports
        # The children's own modules, so that none of them pays for those either.
        own = tuple(f"harness.bench.{role}" for role in _FORKED)
        super().__init__(log, environ=environ, imports=imports + own, ready_s=timeout_s)

    def fork(self, folder: Path, *, cwd: Path) -> Child:
        """Fork a child that works on the request in `folder` as `start` would. Raises `WarmError`."""
        return self.child(folder, cwd=cwd)


class _Kept:
    """A child of a keeper."""

    def __init__(self, owner: Keeper, pid: int, folder: Path) -> None:
        self._owner = owner
        self._returncode: int | None = None
        self.keeper = owner.pid
        self.folder = folder
        self.pid = pid

    def poll(self, timeout_s: float = 0.0) -> int | None:
        if self._returncode is None:
            self._returncode = self._owner.ended(timeout_s)
        return self._returncode

    def forsake(self) -> None:
        self._owner.close()


_bare: dict[int, Keeper] = {}
"""Those of this process, which has one bench."""


def start(role: str, folder: Path, *, cwd: Path, environ: Mapping[str, str], place: int = 0) -> Child:
    """Start a fresh process in `role`, which works on the request in `folder` and prints to a log there.

    The keeper that does so is started when it is first needed, and anew where a child has killed it. It has one child
    at a time: those that are there side by side each have a `place`. Raises `InterpreterGoneError`, and
    `BenchBrokenError` where no keeper can be had.
    """
    command = [sys.executable, str(LAUNCHER), role, str(folder)]
    reason: KeeperError | None = None
    for _ in range(2):
        try:
            if place not in _bare:
                _bare[place] = Keeper(None, environ=environ)
            return _bare[place].child(folder, cwd=cwd, command=command, environ=dict(environ))
        except KeeperError as error:  # noqa: PERF203 - it costs a process each time
            reason = error
            _bare.pop(place, None)
    msg = f"children cannot be started: what starts them {reason}."
    raise BenchBrokenError(msg)
