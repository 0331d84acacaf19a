"""Signals that ask a process to end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_ASKING = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """The process was asked to end by `signal`. pytest and click handle it as the interruption that it is."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(f"ended by {self.signal.name}")


def _raise(number: int, _: FrameType | None) -> None:
    raise Terminated(number)


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """What is done within ends soon by itself, and must not be lost to a second signal: SIGINT too is not heard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *_ASKING)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def raise_on_termination() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what is done within as SIGINT does: every `finally` runs, and children are ended.

    SIGHUP stays ignored where it was, as under nohup. Signals come to the main thread alone; elsewhere this does
    nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.getsignal(number) for number in _ASKING}
    for number, handler in old.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in old.items():
            # None: it was not installed from Python, and cannot be from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
