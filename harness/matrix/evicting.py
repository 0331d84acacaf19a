"""Environments that are here, and which of them go where there is no room for another one.

An environment can be installed again from its lock, so that it may go. What somebody has, and what the rest of a run
needs, stays. Of the others the one that nobody has had for longest goes first, and only where that makes enough room:
where it cannot, nothing goes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.bench.disk import remove_tree, space_at
from harness.bench.hold import held_if_free, hold
from harness.bench.plan import Keeping
from harness.bench.record import write_json
from harness.bench.text import size
from harness.matrix.blocks import Blocks, blocks_of, freed
from harness.matrix.combination import GIVEN, all_names
from harness.matrix.environment import INSTALLED, holding_folder, last_used, tox_name

Tell = Callable[[str], None]

_PROMISE = "room.json"
"""Beside who holds an environment: what its installation, which is under way, asked for."""

_CAME = 0.5
"""The share of what removing one should free that has to come free, for the next one to go."""


def free_at(folder: Path) -> int:
    """Bytes that are free where `folder` is, or would be."""
    return space_at(folder, reserved=False).free


@dataclass(frozen=True, kw_only=True)
class Room:
    """What an installation asks for: `enough` bytes that are free before it begins.

    `needed` are the names of environments that stay; `free` tells how many bytes are free where a folder is.
    """

    enough: int = Keeping().free_mb * 2**20
    needed: Collection[str] = ()
    free: Callable[[Path], int] = free_at


@dataclass(frozen=True, kw_only=True)
class Environment:
    """An environment of the harness's: `folder` has what is installed, and `holds` are what its users hold.

    `used` is when somebody last had it, in seconds since the epoch.
    """

    name: str
    folder: Path
    holds: tuple[Path, ...]
    used: float

    @contextlib.contextmanager
    def if_free(self) -> Iterator[bool]:
        """Have it until the end of the context, unless somebody has it: then False, without waiting."""
        with contextlib.ExitStack() as held:
            yield all(held.enter_context(held_if_free(each)) for each in self.holds) and self.folder.is_dir()

    def remove(self) -> None:
        """Remove what is installed; the caller has it. Its lock stays."""
        # What says that it is whole goes first: half an environment must not pass for one.
        (self.folder / INSTALLED).unlink(missing_ok=True)
        remove_tree(self.folder)


def environments(root: Path) -> list[Environment]:
    """The harness's environments below `root`, the one that nobody has had for longest first.

    Those that tox has of its own are none of them.
    """
    held = holding_folder(root, "")
    there = [folder.name for folder in _folders(held)]
    known = {tox_name(name) for name in all_names(root)}
    found = []
    for folder in _folders(root / ".tox"):
        if (folder / INSTALLED).is_file() or (folder.name in known and (folder / "pyvenv.cfg").is_file()):
            names = [name for name in there if tox_name(name) == folder.name and not (held / name / GIVEN).exists()]
            found.append(_environment(root, folder.name, folder, names or [folder.name]))
    given = [name for name in there if (held / name / GIVEN).is_file() and (held / name / "env").is_dir()]
    found += [_environment(root, name, held / name / "env", [name]) for name in given]
    return sorted(found, key=lambda each: (each.used, each.name))


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _environment(root: Path, name: str, folder: Path, holders: Sequence[str]) -> Environment:
    holds = tuple(holding_folder(root, each) for each in holders)
    used = max(last_used(root, each) for each in holders) or folder.stat().st_mtime
    return Environment(name=name, folder=folder, holds=holds, used=used)


@contextlib.contextmanager
def room_for(root: Path, folder: Path, name: str, room: Room, *, note: Tell) -> Iterator[None]:
    """Have room for an installation of `name`, which the caller holds, into `folder` until the end of the context.

    Where there is less than `room`, others go. What is asked for here is nobody else's meanwhile. `note` is told what
    goes and why, and where all that may go would not do, so that nothing goes.
    """
    promise = holding_folder(root, name) / _PROMISE
    with hold(holding_folder(root, ""), "the room for environments", note):
        # What is there of it already is gone on with, or goes for it.
        wanted = max(0, room.enough - freed(blocks_of(folder)))
        promised = _promised(root, but=name)
        _make_room(root, folder, name, replace(room, free=lambda at: room.free(at) - promised), wanted, note)
        write_json(promise, {"folder": str(folder), "bytes": room.enough})
    try:
        yield
    finally:
        promise.unlink(missing_ok=True)


def _promised(root: Path, *, but: str) -> int:
    """Bytes that installations under way are still to take."""
    total = 0
    for path in holding_folder(root, "").glob(f"*/{_PROMISE}"):
        with held_if_free(path.parent) as dead, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if path.parent.name != but and not dead:
                told = json.loads(path.read_text(encoding="utf-8"))
                total += max(0, int(told["bytes"]) - freed(blocks_of(Path(told["folder"]))))
    return total


def _make_room(root: Path, folder: Path, name: str, room: Room, wanted: int, note: Tell) -> None:
    if room.free(folder) >= wanted:
        return
    stay = {tox_name(each) for each in (name, *room.needed)}
    device = _device(folder)
    others = [each for each in environments(root) if tox_name(each.name) not in stay]
    blocks = {each.name: blocks_of(each.folder) for each in others if _device(each.folder) == device}
    with contextlib.ExitStack() as held:
        # What is not had until it is gone may be somebody's by then, and the others would go in vain.
        may_go = [each for each in others if each.name in blocks and held.enter_context(each.if_free())]
        free = room.free(folder)
        chosen = choose([blocks[each.name] for each in may_go], wanted - free)
        short = f"space is short: {size(max(0, free))} free, and {size(wanted)} wanted to install {name}"
        if chosen is None:
            could = size(freed(*(blocks[each.name] for each in may_go)))
            told = f"removing all that nobody needs now ({len(may_go)}) would free {could}, so that none is removed"
            note(f"{short} (free_mb of [keep] in the matrix file); {told}. {CLEAN}")
            return
        for each in (may_go[number] for number in chosen):
            before, should = room.free(folder), freed(blocks[each.name])
            if before >= wanted:
                return
            each.remove()
            came = room.free(folder) - before
            note(f"{short}; removed the environment of {each.name}, which nobody had for longest: {size(came)}")
            if came < _CAME * should:
                note(f"removing it should have freed {size(should)}, so that no other is removed. {CLEAN}")
                return


CLEAN = "`harness clean` shows what takes room here."


def choose(blocks: Sequence[Blocks], wanted: int) -> list[int] | None:
    """Which of several folders have to go to free `wanted` bytes, by their numbers; None where all are not enough.

    The first go first. One without which the others are enough stays.
    """
    chosen: list[int] = []
    for number in range(len(blocks)):
        if freed(*(blocks[each] for each in chosen)) >= wanted:
            break
        chosen.append(number)
    if freed(*(blocks[each] for each in chosen)) < wanted:
        return None
    for number in list(chosen):
        others = [each for each in chosen if each != number]
        if freed(*(blocks[each] for each in others)) >= wanted:
            chosen = others
    return chosen


def _device(folder: Path) -> int:
    """The file system that a folder is on, or would be."""
    return next(each for each in (folder, *folder.parents) if each.exists()).stat().st_dev
