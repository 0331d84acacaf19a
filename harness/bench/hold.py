"""Who has a folder: an attempt, or an environment that is installed into. A second one says who has it, and waits.

The hold is filelock's, an advisory lock of the kernel's: it ends with its holder, however that ends. What is beside it
in ``holder.json`` is for people alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.bench.record import now, write_json

HOLD_FILE = ".hold"
HOLDER_FILE = "holder.json"
_POLL_S = 0.5


@contextlib.contextmanager
def hold(folder: Path, what: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Have `folder`, which is made, until the end of the context; while somebody else has it, wait.

    `what` names it to a person, who is told once who has it.
    """
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / HOLD_FILE)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        tell(f"{what} is held by {holder(folder)}. Waiting for it to end.")
        lock.acquire(poll_interval=_POLL_S)
    try:
        write_json(folder / HOLDER_FILE, {"pid": os.getpid(), "command": " ".join(sys.argv), "since": now()})
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / HOLDER_FILE).unlink()
        lock.release()


@contextlib.contextmanager
def held_if_free(folder: Path) -> Iterator[bool]:
    """Have `folder` until the end of the context, unless somebody has it: then False, without waiting."""
    import filelock

    lock = filelock.FileLock(folder / HOLD_FILE)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def holder(folder: Path) -> str:
    """Who has `folder`, for a person."""
    try:
        who = json.loads((folder / HOLDER_FILE).read_text(encoding="utf-8"))
        return f"process {who['pid']} since {who['since']} ({who['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"
