"""Serving processes that import side by side, and then load and are timed one after the other.

Importing a framework takes longer than timing most cells, and nothing of it is measured. Who has imported sleeps in a
read of the named pipe ``turn`` in its folder, until a byte comes through it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from harness.bench.processes import Child, Ended, KeeperError, Limits, Watch, start
from harness.bench.requests import TURN, ServeRequest

_LOOK_S = 0.02


class _Importing:
    """One of them, watched until it has imported."""

    def __init__(self, request: ServeRequest, limits: Limits, environ: Mapping[str, str], place: int) -> None:
        folder = Path(request.folder)
        self._pipe = folder / TURN
        os.mkfifo(self._pipe)
        request.write()
        self.child: Child = start(request.role, folder, cwd=folder, environ=environ, place=place)
        self.watch = Watch(self.child, limits)
        self.ended: Ended | None = None
        self._is_done = False
        self._turn = -1

    def has_imported(self) -> bool:
        """Whether it waits for its turn, or will have none: it is dead, or has outrun a limit, and was ended."""
        if self._is_done:
            return True
        try:
            # Refused for as long as nobody has opened it to read from it.
            self._turn = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            if self._is_alive():
                self.watch.look()
                if not self.watch.stopped:
                    return False
                self.watch.end()
                self.ended = self.watch.ended()
        else:
            self.watch.look(search_s=0.0)  # what it has open by now may be closed in its turn
        self._is_done = True
        return True

    def _is_alive(self) -> bool:
        try:
            return self.child.poll() is None
        except KeeperError:
            return False

    def go(self) -> None:
        """Let it go on."""
        if self._turn >= 0:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._turn, b"\n")
        self._forget()

    def end(self) -> None:
        """End it without a turn."""
        self._forget()
        if self.ended is None:
            self.watch.end()
            self.watch.ended()

    def _forget(self) -> None:
        if self._turn >= 0:
            os.close(self._turn)
            self._turn = -1
        self._pipe.unlink(missing_ok=True)


class Imported:
    """The processes of `requests`, which have imported when this is made. Those that had no turn end with the context.

    Each may take the memory that `limits` say while it imports, and as many times their time as there are processes,
    since they share the cores; what it may take in its turn is its own.
    """

    def __init__(self, requests: Sequence[ServeRequest], limits: Limits, environ: Mapping[str, str]) -> None:
        self.limits = replace(limits, timeout_s=limits.timeout_s * len(requests))
        self._ahead: list[_Importing] = []
        try:
            for place, request in enumerate(requests):
                self._ahead.append(_Importing(request, self.limits, environ, place))
            while not all([each.has_imported() for each in self._ahead]):  # noqa: C419 - each of them is looked at
                time.sleep(_LOOK_S)
        except BaseException:
            self._end()
            raise

    def take(self) -> tuple[Child, Watch, Ended | None]:
        """Give the next one its turn: its process, what was seen of it, and how it ended if it has ended already."""
        first = self._ahead.pop(0)
        first.go()
        return first.child, first.watch, first.ended

    def _end(self) -> None:
        while self._ahead:
            self._ahead.pop().end()

    def __enter__(self) -> Imported:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
