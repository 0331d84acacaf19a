"""Runs tox and uv so that neither outlives the harness.

Each is in a process group of its own. An exception, a signal's too, ends the group before it is passed on; a
`kill -9` of the harness ends it by way of `mortal.py`; and what is left in spite of that carries the folder of the
environment, by which the next start finds it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from uv import find_uv_bin

from harness.bench.errors import DiskFullError, NotWritableError, ToolBrokenError
from harness.bench.fingerprint import normalise_paths
from harness.bench.group import MARKER, processes

_MORTAL = Path(__file__).with_name("mortal.py")
_POLL_S = 0.03
_GRACE_S = 5.0
_LONGEST_LOG = 2**20


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    log: Path,
    marker: str,
    timeout_s: float = math.inf,
) -> int:
    """Run a tool to its end, its output appended to `log`; its exit code, 128 and more for a signal.

    It and what it starts carry `marker`, for `harness.bench.group.end_leftovers`. Raises `TimeoutError` where it does
    not come to its end within `timeout_s` seconds. Whatever is raised meanwhile, all that the tool started is ended
    before it is passed on.
    """
    deadline = time.monotonic() + timeout_s
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", str(_MORTAL), str(os.getpid()), *command],
            cwd=cwd,
            env={**environ, MARKER: marker},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while (code := process.poll()) is None:
            if time.monotonic() > deadline:
                msg = f"{command[0]} did not come to its end within {timeout_s:g} s"
                raise TimeoutError(msg)
            time.sleep(_POLL_S)
        return code
    finally:
        # Also after a tool that ended by itself: what it left behind would go on writing.
        _end_group(process)


def read_from(log: Path, begin: int) -> str:
    """What was written to a log from a position on; of a long one its end."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(begin, size - _LONGEST_LOG))
        return file.read().decode("utf-8", errors="replace")


@contextlib.contextmanager
def told_as_infrastructure(doing: str) -> Iterator[None]:
    """A full disk and a folder that may not be written to are no bug of ours: raise their own classes."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            msg = f"{doing}: {reason}."
            raise DiskFullError(msg) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            msg = f"{doing}: {normalise_paths(str(error.filename or 'a folder'))} may not be written to ({reason})."
            raise NotWritableError(msg) from error
        raise


UNWRAPPED = {"UV_NO_WRAP": "1"}
"""Has uv write a sentence on one line, however long its paths are: what it says is read by patterns."""


def uv() -> str:
    """Path of the uv that came with the harness. Raises `ToolBrokenError` where it is gone."""
    try:
        return find_uv_bin()
    except FileNotFoundError:
        msg = "uv, which came with the harness, is not there any more. Install the harness anew."
        raise ToolBrokenError(msg) from None


@functools.lru_cache
def python_full_version(python: str) -> str:
    """The version of the interpreter that is used here for `python` (major.minor); its first where there is none."""
    command = [uv(), "python", "find", "--no-project", "--no-python-downloads", "--show-version", python]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = done.stdout.strip()
    return found if done.returncode == 0 and found.startswith(f"{python}.") else f"{python}.0"


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask a group to end, then kill it, and return when nothing of it works any more; its leader is reaped."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        _wait_for_end(process)
        os.killpg(process.pid, signal.SIGKILL)
        _wait_for_end(process)
    process.wait()


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until no process of the group is alive, at most `_GRACE_S`."""
    deadline = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline:
        process.poll()  # reaps it
        if not any(other.alive and other.session == process.pid for other in processes().values()):
            return
        time.sleep(_POLL_S)
