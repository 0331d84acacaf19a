"""Combinations: one requirements file each, `matrices/NAME.in`, so that people, Renovate and Dependabot can edit it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.bench.errors import UsageError, unknown
from harness.bench.places import MATRICES
from harness.matrix.places import REFERENCE

EXTENDS = "+"

_PYTHON_HEADER = re.compile(r"^#\s*python:\s*(?P<version>\S+)\s*$", re.MULTILINE)
_INCLUDE = re.compile(r"^(?:-r|--requirement)[ =](?P<file>\S+)$")
_PYTHON_VERSION = re.compile(r"3\.\d+")


@dataclass(frozen=True)
class Combination:
    """A set of pinned versions and a Python version (major.minor)."""

    name: str
    path: Path
    python: str
    requirements: tuple[Requirement, ...]

    @property
    def pins(self) -> dict[str, str]:
        """What is pinned to one version, canonical name to version."""
        pins = {}
        for requirement in self.requirements:
            exact = [s.version for s in requirement.specifier if s.operator in ("==", "===") and "*" not in s.version]
            if exact:
                pins[canonicalize_name(requirement.name)] = exact[0]
        return dict(sorted(pins.items()))


def parse(name: str, path: Path, text: str, include: Callable[[str], Combination] | None = None) -> Combination:
    """The combination of a file's text; `include` reads what a line ``-r FILE`` names."""
    header = _PYTHON_HEADER.search(text)
    if header is None or not _PYTHON_VERSION.fullmatch(header["version"]):
        msg = f"{path}: no Python version. Its first line must be like `# python: 3.11`."
        raise UsageError(msg)
    requirements: list[Requirement] = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if not content:
            continue
        included = _INCLUDE.match(content)
        if included and include is not None:
            base = include(included["file"])
            if base.python != header["version"]:
                msg = (
                    f"{path}: Python {header['version']}, and {included['file']} is for {base.python}. Make them equal."
                )
                raise UsageError(msg)
            requirements += base.requirements
            continue
        if content.startswith("-") or content.endswith("\\"):
            msg = (
                f"{path}, line {number}: {content!r} is an option, and this file holds pins alone. Hashes belong to "
                "the lock; name another package index by the variable UV_EXTRA_INDEX_URL."
            )
            raise UsageError(msg)
        try:
            requirements.append(Requirement(content))
        except InvalidRequirement as error:
            msg = f"{path}, line {number}: {content!r} is no requirement ({error}). Write it like `torch==2.1.0`."
            raise UsageError(msg) from None
    return Combination(name, path, header["version"], tuple(requirements))


def _in(folder: Path) -> dict[str, Path]:
    return {path.name.removesuffix(".in"): path for path in folder.glob("*.in")}


def _files(root: Path) -> dict[str, Path]:
    """Every combination and extended one, and its file: the repository's own before those of the harness.

    Where a repository has a combination itself, the harness's extensions of that name are of another one.
    """
    own = _in(root / MATRICES)
    reference = {name: path for name, path in _in(REFERENCE).items() if name.partition(EXTENDS)[0] not in own}
    return dict(sorted({**reference, **own}.items()))


def names(root: Path) -> list[str]:
    """Names of all combinations, their extensions left out."""
    return [name for name in _files(root) if EXTENDS not in name]


def own_names(root: Path) -> list[str]:
    """Those of them that are the repository's own."""
    return [name for name in sorted(_in(root / MATRICES)) if EXTENDS not in name]


def folder_of(root: Path, name: str) -> Path:
    """The folder that has the file of a combination or an extended one: the repository's own where nobody has it."""
    path = _files(root).get(name)
    return path.parent if path else root / MATRICES


def origin(root: Path, name: str) -> str:
    """What to tell of where a combination is from; nothing where there is no other of its name."""
    reference = _in(REFERENCE)
    if name not in reference or root / MATRICES == REFERENCE:
        return ""
    if name in _in(root / MATRICES):
        return f"{name} is {MATRICES}/{name}.in here, and not the one of that name that comes with the harness"
    return f"{name} is the one that comes with the harness: there is no {MATRICES}/{name}.in here"


def all_names(root: Path) -> list[str]:
    """Names of all combinations, and of all extended ones."""
    return list(_files(root))


def extensions(root: Path, name: str) -> list[str]:
    """The extensions that a combination has: `tools` where there is `matrices/NAME+tools.in`."""
    return [file.partition(EXTENDS)[2] for file in _files(root) if file.startswith(f"{name}{EXTENDS}")]


def extended(name: str, extension: str) -> str:
    """The name of an environment: `torch2.0`, or `torch2.0+tools`."""
    return f"{name}{EXTENDS}{extension}" if extension else name


def read(root: Path, name: str) -> Combination:
    """The combination or the extended one called `name`."""
    if name not in _files(root):
        raise UsageError(unknown("combination", name, _files(root) if EXTENDS in name else names(root)))
    path = _files(root)[name]
    told = path.relative_to(root) if path.is_relative_to(root) else path

    def include(file: str) -> Combination:
        if file.removesuffix(".in") == name:
            msg = f"{told}: it includes itself. Take that line away."
            raise UsageError(msg)
        return read(root, file.removesuffix(".in"))

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{told}: cannot be read as UTF-8 text ({error})."
        raise UsageError(msg) from None
    return parse(name, told, text, include)
