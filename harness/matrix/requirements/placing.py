"""Where the packages on this machine lie that uv resolved.

A file of requirements that uv compiles has each place as the file that asks for it writes it: relative to that file's
folder, which is another one for what a package of theirs asks for, and not said. A `pylock.toml` has it in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from packaging.pylock import Pylock

from harness.bench.environment import canonical
from harness.matrix.compiling import local_package
from harness.matrix.requirements.gathering import toml_of
from harness.matrix.requirements.lines import Direct

_BY_ADDRESS = re.compile(r"[A-Za-z0-9][\w.-]*(?:\[[^\]]*\])?\s*@\s*(?!file:(?!//)|[./])\S+")
_BY_VERSION = re.compile(r"[A-Za-z0-9][\w.-]*(?:\[[^\]]*\])?\s*={2,3}")


def is_local(line: str) -> bool:
    """Whether a line of what uv compiled begins a package on this machine."""
    told = line[:1].strip() and not line.startswith(("#", "--"))
    return bool(told) and not _BY_VERSION.match(line) and not _BY_ADDRESS.match(line)


def without_local(compiled: str) -> str:
    """What uv compiled, without the packages on this machine."""
    kept, skipping = list[str](), False
    for line in compiled.splitlines():
        if not line[:1].isspace():
            skipping = is_local(line)
        kept += [] if skipping else [line]
    return "".join(f"{line}\n" for line in kept)


def with_local(compiled: str, directs: Iterable[Direct], *, told: bool = False) -> str:
    """What uv compiled, with `directs` in the place of its packages on this machine, below its head.

    With `told` there is a line above each that says what it is, as locks have it.
    """
    lines = without_local(compiled).splitlines()
    head = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    own = [f"{local_package(Path(each.target))}\n{line_of(each)}" if told else line_of(each) for each in directs]
    return "".join(f"{line}\n" for line in [*lines[:head], *own, *lines[head:]])


def line_of(direct: Direct) -> str:
    """A package that is asked for by its place, as a file of requirements has it."""
    hashes = "".join(f" \\\n    --hash={each}" for each in direct.hashes)
    return f"{'-e ' if direct.editable else ''}{direct.target}{direct.extras}{hashes}"


def directs_of(pylock: Path) -> dict[str, Direct]:
    """The packages on this machine that a `pylock.toml` of uv's has, by canonical name, with absolute places."""
    lock = Pylock.from_dict(toml_of(pylock.read_text(encoding="utf-8"), pylock.name))
    found = {}
    for package in lock.packages:
        if package.directory is not None:
            place = (pylock.parent / package.directory.path).resolve()
            found[package.name] = Direct(str(place), editable=bool(package.directory.editable))
        elif package.archive is not None and package.archive.path:
            place = (pylock.parent / package.archive.path).resolve()
            hashes = tuple(f"{kind}:{value}" for kind, value in package.archive.hashes.items())
            found[package.name] = Direct(str(place), hashes=hashes)
    return {canonical(name): direct for name, direct in found.items()}
