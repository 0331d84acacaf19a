"""What a process of a duel says, read from its named pipe: a line an answer, whatever it may write there instead."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable
from typing import Any

LOOK_S = 0.2
"""How often it is looked whether a process that has not answered is still there: never within a turn of 25 ms."""

_LONGEST = 2**16
"""Bytes of a line at most. An answer has some two hundred."""


class BadAnswerError(Exception):
    """A process answered what was not asked for."""


class Answers:
    """The lines that come from the descriptor of a pipe, which does not block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._incoming = b""

    def next(self, name: str, look: Callable[[], None]) -> Any:
        """The value that the next line has under `name`.

        `look` is called every 0.2 s until the line is whole, also while more and more of it comes, and raises what ends
        the waiting. Raises `BadAnswerError` where the line is none that was asked for.
        """
        looked = time.monotonic()
        while b"\n" not in self._incoming:
            if len(self._incoming) > _LONGEST:
                msg = f"the process answered {self._incoming[:80]!r} and so on, without an end of the line"
                raise BadAnswerError(msg)
            left_s = looked + LOOK_S - time.monotonic()
            if left_s <= 0:
                look()
                looked = time.monotonic()
                continue
            if select.select([self._descriptor], [], [], left_s)[0]:
                self._incoming += os.read(self._descriptor, _LONGEST)
        line, _, self._incoming = self._incoming.partition(b"\n")
        try:
            return json.loads(line)[name]
        except (ValueError, KeyError, TypeError, RecursionError):
            msg = f"the process answered {line[:80]!r}, where {name!r} was asked for"
            raise BadAnswerError(msg) from None

    def seconds(self, name: str, look: Callable[[], None]) -> float:
        """The same of a time in seconds: a number above 0, or `BadAnswerError` is raised."""
        value = self.next(name, look)
        if type(value) not in (int, float) or not 0 < value <= sys.float_info.max:
            msg = f"the process answered {str(value)[:80]!r}, where seconds above 0 were asked for"
            raise BadAnswerError(msg)
        return float(value)
