"""Starts the processes of a cell, watches them, and ends their whole group.

A process is either forked from a warm one, which has imported the frameworks once, or started fresh. Both lead a
session of their own, so that whatever they start in turn is found, counted and killed with them.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.bench import memory

LAUNCHER = Path(__file__).with_name("launch.py")

LOG_FILE = "log.txt"
"""What a child printed, beside its request."""

_POLL_S = 0.02
_SCAN_S = 0.2
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Limits:
    """What a process group may use."""

    timeout_s: float
    memory_limit_mb: float


@dataclass(frozen=True)
class Ended:
    """How a process ended. `returncode` is negative for a signal. `stopped` is why we ended it, if we did."""

    returncode: int
    stopped: str = ""
    oom_killed: bool = False
    peak_mb: float = 0.0


class Child(Protocol):
    """A running process that leads its own session."""

    pid: int

    def poll(self) -> int | None:
        """Its return code once it has ended."""
        ...


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies, so that a killed run leaves nothing behind."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def child_environ(device: str, threads: int) -> dict[str, str]:
    """The variables of every child: equal threads for every runtime, no GPU for CPU cells, no downloads, less noise."""
    # What is set for the outer pytest is not meant for the one that serves.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        environ[name] = str(threads)
    environ.update(
        PYTHONHASHSEED="0",
        TF_CPP_MIN_LOG_LEVEL="2",
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
    )
    if device == "cpu":
        environ["CUDA_VISIBLE_DEVICES"] = ""
    return environ


def kill_session(pid: int) -> None:
    """Kill a session, every process in it, and their descendants."""
    descendants = memory.session_members(pid)  # their parents' death would hide those with a session of their own
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for member in {*descendants, *memory.session_members(pid)}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(member, signal.SIGKILL)


def watch(child: Child, limits: Limits, sample: Callable[[list[int]], None] | None = None) -> Ended:
    """Wait for `child`, ending its group when it outruns `limits`; `sample` is called with the group's pids meanwhile.

    However this ends, no process of the group is left.
    """
    started = time.monotonic()
    kills_before = memory.oom_kills()
    members, scanned, peak, stopped = [child.pid], started, 0.0, ""
    returncode = None
    try:
        while (returncode := child.poll()) is None:
            now = time.monotonic()
            if now - scanned > _SCAN_S:
                members, scanned = memory.session_members(child.pid), now
            resident = memory.resident_mb(members)
            peak = max(peak, resident)
            if sample is not None:
                sample(members)
            if not stopped and resident > limits.memory_limit_mb:
                stopped = "out-of-memory"
                kill_session(child.pid)
            elif not stopped and now - started > limits.timeout_s:
                stopped = "timed-out"
                kill_session(child.pid)
            time.sleep(_POLL_S)
    finally:
        kill_session(child.pid)
    killed = returncode == -signal.SIGKILL and not stopped and memory.oom_kills() > kills_before
    return Ended(returncode, stopped, killed, peak)


class _Fresh:
    """A process started by us."""

    def __init__(self, arguments: Sequence[str], log: Path, cwd: Path, environ: Mapping[str, str]) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(LAUNCHER), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=environ,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()


def start(role: str, request: Path, *, cwd: Path, environ: Mapping[str, str]) -> Child:
    """Start a fresh process in the role `worker` or `serve`; what it prints goes to a file beside the request."""
    return _Fresh([role, str(request)], request.with_name(LOG_FILE), cwd, environ)


class WarmError(Exception):
    """The warm process is not there any more."""


class Warm:
    """A process that has imported `imports` once and forks a child a request.

    It runs no operation of any framework, opens no device and starts no thread, so that forking it is safe. An
    import that fails is left to the children, which meet the same error at the stage `import`.
    """

    def __init__(self, imports: tuple[str, ...], log: Path, *, environ: Mapping[str, str], timeout_s: float) -> None:
        self.imports = imports
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(LAUNCHER), "warm", *imports],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=environ,
                start_new_session=True,
            )
        self._buffer = b""
        try:
            self._read(timeout_s)
        except WarmError:
            self.close()
            raise

    def _read(self, timeout_s: float) -> dict[str, int]:
        """One line from the process, as JSON."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(descriptor, 65536) if ready else b""
            if not chunk:
                msg = "ended while importing" if ready else f"did not answer within {timeout_s:g} s"
                raise WarmError(msg)
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, int] = json.loads(line)
        return answer

    def fork(self, request: Path, *, cwd: Path) -> Child:
        """Fork a child that works on `request` as `start("worker", …)` would."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"request": str(request), "cwd": str(cwd)}).encode() + b"\n")
            self._process.stdin.flush()
            return _Forked(self, self._read(30.0)["pid"])
        except BrokenPipeError as error:
            msg = "ended"
            raise WarmError(msg) from error

    def ended(self) -> int | None:
        """Return code of the child, if it has ended."""
        assert self._process.stdout is not None
        if b"\n" not in self._buffer and not select.select([self._process.stdout.fileno()], [], [], 0)[0]:
            return None
        try:
            return self._read(5.0)["returncode"]
        except WarmError:
            return -signal.SIGKILL

    def close(self) -> None:
        """End the process and whatever it still has."""
        kill_session(self._process.pid)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class _Forked:
    """A child of a warm process."""

    def __init__(self, warm: Warm, pid: int) -> None:
        self._warm = warm
        self._returncode: int | None = None
        self.pid = pid

    def poll(self) -> int | None:
        if self._returncode is None:
            self._returncode = self._warm.ended()
        return self._returncode
