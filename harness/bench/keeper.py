"""The keeper: a small process that starts children for the bench, one at a time.

So no child has the bench itself as its parent, and one that kills its parent costs nothing but itself. A keeper that
has imported the frameworks is *warm*: it forks children that need not import them again. It runs no operation of any
framework, opens no device and starts no thread, so that forking it is safe. All orphans of a child are handed to it.

Requests and answers are JSON lines on stdin and stdout; ``{"ready": 1}`` once everything is imported, then for each
request ``{"pid": …}`` when the child runs and ``{"returncode": …}`` when it has ended. A request has ``folder`` and
``cwd``, and for a child that is to be a fresh process ``command`` and ``environ``.

What a child prints comes through a pipe and goes to a file that is capped: the pipe holds up a child that prints faster
than it can be read, where a file would take gigabytes between two looks at its size.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.bench.group import Group, become_subreaper, die_with_parent, outlive_parent
from harness.bench.logs import LOG_FILE, CappedLog
from harness.bench.memory import offer_to_oom_killer
from harness.bench.requests import REQUEST_FILE

_PIPE = 2**20
"""Bytes that a pipe may hold: the most that the kernel gives to anybody, as it is set up."""

_CHUNK = 2**18


class _Running:
    """A child, the pipe that it prints to, and the log that this ends in."""

    def __init__(self, request: dict[str, Any], keepers_own: Sequence[int]) -> None:
        self.output, writing = os.pipe()
        self._log = CappedLog(Path(request["folder"]) / LOG_FILE)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._log.close()
                for descriptor in (self.output, *keepers_own):
                    os.close(descriptor)
                _become(request, writing, parent)
            except BaseException:  # noqa: BLE001 - what it should do could not be begun; the log says why
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(writing)
        os.set_blocking(self.output, False)
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self.output, fcntl.F_SETPIPE_SZ, _PIPE)

    def drain(self, most: int) -> bool:
        """Move what was printed to the log, up to `most` bytes; False at its end."""
        while most > 0:
            try:
                chunk = os.read(self.output, _CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self._log.write(chunk)
            most -= len(chunk)
        return True

    def close(self) -> None:
        """Take what was printed last. What still prints belongs to no child any more, and is about to be ended."""
        if self.output >= 0:
            self.drain(2 * _PIPE)
            os.close(self.output)
        self._log.close()


def _become(request: dict[str, Any], output: int, parent: int) -> None:
    """What the forked child does; never returns."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    die_with_parent(parent)
    offer_to_oom_killer()
    os.chdir(request["cwd"])
    if "command" in request:
        os.execve(request["command"][0], request["command"], request["environ"])
    folder = Path(request["folder"])
    role = json.loads((folder / REQUEST_FILE).read_text(encoding="utf-8"))["role"]
    importlib.import_module(f"harness.bench.{role}").main(folder)


class _Keeper:
    """Serves requests from stdin until it ends, as it does when the bench dies; then nothing of what it has is left."""

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._child: _Running | None = None
        self._incoming = b""
        # An end is told by a byte in this pipe: the child's, and those of orphans, which may come by the thousand.
        self._ends, self._told = os.pipe()
        for descriptor in (self._ends, self._told):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def answer(self, **value: int) -> None:
        """Tell the bench."""
        os.write(self._protocol, json.dumps(value).encode() + b"\n")

    def serve(self) -> None:
        """Wait for requests, for what the child prints, and for its end."""
        while True:
            waiting = select.poll()
            for descriptor in (0, self._ends):
                waiting.register(descriptor, select.POLLIN)
            if self._child is not None and self._child.output >= 0:
                waiting.register(self._child.output, select.POLLIN)
            ready = {descriptor for descriptor, _ in waiting.poll()}
            if self._child is not None and self._child.output in ready and not self._child.drain(_PIPE):
                # It closed what it prints to, and goes on.
                os.close(self._child.output)
                self._child.output = -1
            if self._ends in ready:
                os.read(self._ends, _CHUNK)
                self._reap()
            if 0 in ready and not self._read():
                return

    def _reap(self) -> None:
        """Wait for whatever has ended: the child, or an orphan of an earlier one."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if self._child is not None and found[0] == self._child.pid:
                    self._child.close()
                    self._child = None
                    self.answer(returncode=os.waitstatus_to_exitcode(found[1]))

    def _read(self) -> bool:
        """Take requests; False when there will be no more."""
        chunk = os.read(0, 2**16)
        *lines, self._incoming = (self._incoming + chunk).split(b"\n")
        for line in lines:
            assert self._child is None, "a keeper has one child at a time"
            self._child = _Running(json.loads(line), (self._protocol, self._ends, self._told))
            self.answer(pid=self._child.pid)
        return bool(chunk)


def main(imports: Sequence[str]) -> None:
    """Import, say so, and serve requests."""
    protocol = os.dup(1)
    os.dup2(2, 1)  # whatever a framework prints goes to the log
    become_subreaper()
    for name in imports:
        # A child that needs it meets the same error at its stage `import`.
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)
    sys.stdout.flush()
    keeper = _Keeper(protocol)
    outlive_parent()  # stdin tells
    keeper.answer(ready=1)
    try:
        keeper.serve()
    except Exception:  # noqa: BLE001 - a bench that died while it was being told, as a rule
        traceback.print_exc()
    finally:
        Group(os.getpid(), os.getpid()).end()
        os._exit(0)
