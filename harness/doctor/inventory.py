"""What the harness keeps on a machine: environments, attempts, artifacts, details and caches, with what each takes.

Everything has the name of its path below the root, but for uv's cache and what this machine keeps as a node. What lies
there and is none of it is somebody else's, and is never touched.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.bench.attempt import Attempt
from harness.bench.disk import remove_tree
from harness.bench.errors import NotWritableError, ToolBrokenError, UsageError, unknown
from harness.bench.hold import HOLD_FILE, held_if_free
from harness.doctor.holds import holder_of, is_locked
from harness.doctor.machine import uv_cache
from harness.executors.node_room import kept_here, locked_if_free, place_of_cache
from harness.matrix import tooling
from harness.matrix.blocks import Blocks, blocks_of, freed, taken
from harness.matrix.environment import clean_environ
from harness.matrix.evicting import environments
from harness.matrix.places import OWN

UV_CACHE = "uv-cache"
"""What uv's cache is called; it is every project's, and only goes by this name."""

NODE_CACHE = "node-cache"
"""What a node's environments are called below; every checkout's runs on a cluster use them."""

_IN_PARTS = {
    "attempts": ("attempt", "*/*"),
    "details": ("details of tables", "*"),
    "duels": ("duel", "*/*"),
    "scratch": ("scratch tables", "*"),
}
"""The folders of `.harness` whose content is named by its parts: what these are, and where."""

_WHOLE = {
    "artifacts": "artifacts of cells that passed",
    "candidates": "candidates of bumps",
    "given": "models of specs",
    "history": "tables as a history reads them",
    "logs": "logs of installations",
    "machines": "thresholds of duels",
    "tox": "what the bench wrote under tox",
    "trials": "trials of bumps",
}
"""Those that are one thing."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something that the harness keeps. `used` is when somebody last used or wrote it, in seconds since the epoch.

    `holds` are the folders that whoever is at it holds, and `users` is a file that they lock. `shared` is what other
    projects use, too.
    """

    name: str
    what: str
    folder: Path
    used: float
    blocks: Blocks = field(repr=False)
    holds: tuple[Path, ...] = ()
    users: Path | None = None
    shared: bool = False
    removal: Callable[[Path], None] = remove_tree

    @property
    def takes(self) -> int:
        """Bytes of all its files, each once."""
        return taken(self.blocks)

    @property
    def frees(self) -> int:
        """Bytes that are free when it alone has gone; files that are linked to elsewhere are not among them."""
        return freed(self.blocks)

    @property
    def held_by(self) -> str:
        """Who is at it, for a person; nothing where nobody is."""
        told = next(filter(None, map(holder_of, self.holds)), "")
        return told or ("another process" if self.users is not None and is_locked(self.users) else "")

    def remove(self) -> bool:
        """Remove it, unless somebody is at it; whether that was done.

        Raises `NotWritableError` where a part of it stays.
        """
        with contextlib.ExitStack() as held:
            if self.users is not None and not held.enter_context(locked_if_free(self.users)):
                return False
            if not all(held.enter_context(held_if_free(each)) for each in self.holds if each.is_dir()):
                return False
            self.removal(self.folder)
        if self.name != UV_CACHE and self.folder.exists():
            msg = f"{self.name} could not be removed, or not all of it: see whose {self.folder} is."
            raise NotWritableError(msg)
        return True


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """`items` is all that may be removed; `foreign` are the names of what lies among it and is not the harness's."""

    items: tuple[Item, ...]
    foreign: tuple[str, ...]

    def named(self, patterns: Sequence[str]) -> list[Item]:
        """The items that names or globs stand for. Raises `UsageError` for one that stands for none.

        What other projects use is only meant by what begins with its very name, and by no glob for that.
        """
        chosen: dict[str, Item] = {}
        for pattern in patterns:
            wanted = os.path.normpath(pattern)
            found = [each for each in self.items if _is_meant(each, wanted)]
            if not found:
                raise UsageError(self._none_for(wanted))
            chosen |= {each.name: each for each in found}
        return list(chosen.values())

    def _none_for(self, wanted: str) -> str:
        if wanted in self.foreign:
            return f"{wanted} is not the harness's: whoever made it may remove it. Nothing was removed."
        return f"{unknown('name', wanted, [each.name for each in self.items])} Nothing was removed."


def _is_meant(item: Item, wanted: str) -> bool:
    """Whether a name or glob stands for an item: for itself, or as one of the folders that it lies in."""
    parts = item.name.split("/")
    if wanted == item.name or (item.shared and wanted == parts[0]):
        return True
    if item.shared and wanted.partition("/")[0] != parts[0]:
        return False
    above = ["/".join(parts[:number]) for number in range(2, len(parts) + 1)]
    return any(fnmatch.fnmatchcase(each, wanted) for each in above)


def take_inventory(root: Path, *, busy: Callable[[str], None] = lambda _: None) -> Inventory:
    """What the harness keeps below `root` and as a node, and uv's cache. Nothing is changed.

    `busy` is told what is measured next: large folders take long.
    """
    items: list[Item] = []
    for what, found in (
        ("environments", _environments(root)),
        (f"what {OWN} holds", _own(root)),
        ("environments of a node", _of_node(place_of_cache())),
        ("uv's cache", _cache(root)),
    ):
        busy(f"measuring {what}")
        items += found
    items.sort(key=lambda each: (-each.frees, each.name))
    return Inventory(items=tuple(items), foreign=tuple(_foreign(root)))


def _environments(root: Path) -> Iterator[Item]:
    for each in environments(root):
        yield Item(
            name=_named(root, each.folder),
            what="environment",
            folder=each.folder,
            used=each.used,
            blocks=blocks_of(each.folder),
            holds=each.holds,
            removal=lambda _, each=each: each.remove(),  # type: ignore[misc]
        )


def _of_node(cache: Path) -> Iterator[Item]:
    """The environments that this machine keeps as a node of a cluster; their locks stay, as where a node makes room."""
    for users, each in kept_here(cache) if _is_ours(cache) else []:
        yield Item(
            name=f"{NODE_CACHE}/{users.parent.name}/{each.name}",
            what="environment of a node",
            folder=each.folder,
            used=max(each.used, users.stat().st_mtime),
            blocks=blocks_of(each.folder),
            holds=each.holds,
            users=users,
            shared=True,
            removal=lambda _, each=each: each.remove(),  # type: ignore[misc]
        )


def _is_ours(folder: Path) -> bool:
    """Whether a folder is there and is this user's: anybody can make one among temporary files."""
    return folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid()


def _own(root: Path) -> Iterator[Item]:
    own = root / OWN
    for name, (what, parts) in _IN_PARTS.items():
        for folder in sorted(own.glob(f"{name}/{parts}")):
            if folder.is_dir() and not folder.is_symlink():
                state = Attempt(folder).state if name == "attempts" else None
                told = f"{what} ({state.value})" if state else what
                yield _item(root, folder, told, holds=(own / name, *_held_in(folder)))
    for name, what in _WHOLE.items():
        if (own / name).is_dir() and not (own / name).is_symlink():
            yield _item(root, own / name, what, holds=_held_in(own / name))


def _held_in(folder: Path) -> tuple[Path, ...]:
    """What of a folder and its parts can be held."""
    return tuple(path.parent for path in (folder / HOLD_FILE, *sorted(folder.glob(f"*/{HOLD_FILE}"))) if path.exists())


def _item(root: Path, folder: Path, what: str, *, holds: tuple[Path, ...]) -> Item:
    held = tuple(each for each in dict.fromkeys(holds) if (each / HOLD_FILE).exists())
    return Item(
        name=_named(root, folder),
        what=what,
        folder=folder,
        used=_last_change(folder),
        blocks=blocks_of(folder),
        holds=held,
    )


def _cache(root: Path) -> Iterator[Item]:
    cache = uv_cache(root)
    if cache is not None and cache.is_dir():

        def clean(_: Path) -> None:
            command = [tooling.uv(), "cache", "clean", "--quiet"]
            done = subprocess.run(command, cwd=root, env=clean_environ(), capture_output=True, text=True, check=False)
            if done.returncode:
                msg = f"`uv cache clean` did not do it: {done.stderr.strip()}."
                raise ToolBrokenError(msg)

        yield Item(
            name=UV_CACHE,
            what="packages of every project; environments are linked to it",
            folder=cache,
            used=_last_change(cache),
            blocks=blocks_of(cache),
            shared=True,
            removal=clean,
        )


def _foreign(root: Path) -> Iterator[str]:
    """What lies beside the harness's own, and is none of it."""
    ours = {each.folder for each in environments(root)}
    known = {*_IN_PARTS, *_WHOLE, "environments", "runs"}
    for folder in (root / ".tox", root / OWN):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            own = path in ours if folder.name == ".tox" else path.name in known and not path.is_symlink()
            if path.is_dir() and not own and not path.name.startswith("."):
                yield _named(root, path)


def _named(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _last_change(folder: Path) -> float:
    """When something was last written to a folder, or to one of the two levels below it."""
    moments = [0.0]
    for pattern in (".", "*", "*/*"):
        for path in folder.glob(pattern) if pattern != "." else [folder]:
            with contextlib.suppress(OSError):
                moments.append(path.lstat().st_mtime)
    return max(moments)
