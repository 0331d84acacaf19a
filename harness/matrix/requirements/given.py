"""What requirements ask for, in whatever form they came: `Given`, and the file that a person named: `Source`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.bench.errors import UsageError
from harness.matrix.requirements.lines import Direct, Option, Wanted

_SELECTOR = re.compile(r"^(?P<file>.*\.(?:toml|lock))(?:\[(?P<extras>[\w.,\s-]+)\])?(?::(?P<group>[\w.-]+))?$")


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a person named: a file, and the extras and the group of it that are meant."""

    path: Path
    extras: tuple[str, ...] = ()
    group: str = ""

    @property
    def arguments(self) -> list[str]:
        """The extras and the group, as uv's commands take them."""
        return [*(f"--extra={extra}" for extra in self.extras), *([f"--group={self.group}"] if self.group else [])]


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a file asks for.

    `wanted` are requirements by name, `constraints` bounds that ask for nothing; `directs` are folders, files and
    addresses, the local ones absolute. `project` is the folder of the package that the file belongs to, which is
    installed where a model imports it. `direct` are the packages that a compiled file has from people, as far as its
    comments tell. `locked` says that all versions are fixed with their hashes, and kept.
    `compiled` is a project's file that uv resolves itself. `python` is the version that the file itself tells, with
    `python_from` for a person; `requires_python` only bounds it. `content` is the digest of all files that were read
    and of what they refer to, the same for every Python; `files` are those of a file of requirements, it itself first.
    `notes` are what a person should know.
    """

    source: Source
    content: str
    wanted: tuple[Wanted, ...] = ()
    constraints: tuple[Wanted, ...] = ()
    directs: tuple[Direct, ...] = ()
    options: tuple[Option, ...] = ()
    locked: bool = False
    compiled: bool = False
    project: Path | None = None
    direct: tuple[str, ...] = ()
    python: str = ""
    python_from: str = ""
    requires_python: str = ""
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_project(self) -> bool:
        """Whether it is a project that uv reads itself, with settings beside it."""
        return self.compiled or self.source.path.name == "uv.lock"

    @property
    def replaces_project(self) -> bool:
        """Whether what is wanted stands in the place of what the project's package itself asks for.

        So it is where versions of a project moved: its package is installed all the same, and asks for nothing.
        """
        return self.project is not None and not (self.compiled or self.locked)

    @property
    def stem(self) -> str:
        """The file's name, as far as it can be part of a combination's."""
        stem = self.source.path.name
        for suffix in (".toml", ".lock", ".txt", ".in"):
            stem = stem.removesuffix(suffix)
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "requirements"


def source_of(value: str) -> Source:
    """The file that a person named: `FILE`, of a project also `FILE[EXTRA,…]` and `FILE:GROUP`. Raises `UsageError`."""
    path, extras, group = Path(value), "", ""
    if not path.exists() and (match := _SELECTOR.match(value)):
        path, extras, group = Path(match["file"]), match["extras"] or "", match["group"] or ""
    if not path.is_file():
        msg = f"{path}: no such file of requirements."
        raise UsageError(msg)
    names = tuple(sorted(part.strip() for part in extras.split(",") if part.strip()))
    return Source(path=path.resolve(), extras=names, group=group)
