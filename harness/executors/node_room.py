"""Room for an environment on a node: others that nobody uses there go, and come back by their locks.

Each environment has a folder of its own among those that the node keeps, with a file that its users lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.bench.text import size
from harness.matrix.blocks import blocks_of, freed
from harness.matrix.evicting import Environment, Room, choose, environments

CACHE = "HARNESS_NODE_CACHE"
"""The variable that names where a node keeps environments; without it, a folder of this user's among temporary ones."""

USERS = "users"
"""Locked shared by who uses the environment beside it, and alone by who changes it; written when a use begins."""


def place_of_cache() -> Path:
    """Where a node keeps environments, whether anything is there or not."""
    told = os.environ.get(CACHE)
    return Path(told) if told else Path(tempfile.gettempdir(), f"harness-{os.getuid()}", "node")


def kept_here(cache: Path) -> list[tuple[Path, Environment]]:
    """The environments in a node's cache, each with what its users lock."""
    return [(users, each) for users in sorted(cache.glob(f"*/{USERS}")) for each in environments(users.parent)]


def make_room(cache: Path, own: Path, room: Room, *, note: Callable[[str], None]) -> None:
    """Remove environments in `cache` where less than `room` is free for the one of the folder `own`.

    Those that nobody has used for longest go first, and only where that makes enough room: where it cannot, none goes,
    and installing is tried all the same. `note` is told what went, and why.
    """
    free = room.free(cache)
    if free >= room.enough:
        return
    with contextlib.ExitStack() as held:
        others = [each for users in _users(cache, own) for each in held.enter_context(_unused(users))]
        blocks = [blocks_of(each.folder) for each in others]
        for number in choose(blocks, room.enough - free) or ():
            others[number].remove()
            note(
                f"space is short: {size(free)} free; removed the environment of {others[number].name}, "
                f"which nobody had used for longest: {size(freed(blocks[number]))}"
            )


def _users(cache: Path, own: Path) -> list[Path]:
    """What the users of the other environments lock, the one that nobody has used for longest first."""
    found = [path for path in cache.glob(f"*/{USERS}") if path.parent != own]
    return sorted(found, key=lambda path: path.stat().st_mtime)


@contextlib.contextmanager
def _unused(users: Path) -> Iterator[list[Environment]]:
    """The environment beside `users`, which nobody can begin to use until the end; none where somebody does."""
    with locked_if_free(users) as free, contextlib.ExitStack() as held:
        yield [each for each in environments(users.parent) if held.enter_context(each.if_free())] if free else []


@contextlib.contextmanager
def locked_if_free(users: Path) -> Iterator[bool]:
    """Have what users lock alone until the end of the context, unless there are any: then False, without waiting."""
    with users.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
