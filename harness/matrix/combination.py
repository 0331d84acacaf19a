"""Combinations: one requirements file each, `matrices/NAME.in`, so that people, Renovate and Dependabot can edit it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from harness.bench.errors import UsageError, unknown
from harness.bench.places import MATRICES
from harness.matrix.places import REFERENCE
from harness.matrix.requirements.lines import Direct, Include, Option, Wanted, parse_lines

EXTENDS = "+"
GIVEN = "given.json"
"""What is kept of requirements that were given, in their folder under `.harness/`."""

_PYTHON_HEADER = re.compile(r"^#\s*python:\s*(?P<version>\S+)\s*$", re.MULTILINE)
_PYTHON_VERSION = re.compile(r"3\.\d+")
OLDEST_PYTHON = "3.10"
"""The oldest Python (major.minor) that the bench runs on."""


@dataclass(frozen=True)
class Combination:
    """A set of pinned versions and a Python version (major.minor).

    `directs` are folders, files and addresses in the place of names, `options` where packages come from.
    """

    name: str
    path: Path
    python: str
    requirements: tuple[Requirement, ...]
    directs: tuple[Direct, ...] = ()
    options: tuple[Option, ...] = ()

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
    refuse_old(header["version"], where=str(path), remedy="Write a newer one in its first line: `# python: 3.11`.")
    requirements: list[Requirement] = []
    directs: list[Direct] = []
    options: list[Option] = []
    for _, line in parse_lines(text, where=str(path)):
        if isinstance(line, Include) and line.kind == "-r" and include is not None:
            base = include(line.file)
            if base.python != header["version"]:
                msg = f"{path}: Python {header['version']}, and {line.file} is for {base.python}. Make them equal."
                raise UsageError(msg)
            requirements += base.requirements
            directs += base.directs
            options += base.options
        elif isinstance(line, Wanted):
            requirements.append(line.requirement)
        elif isinstance(line, Direct):
            directs.append(line)
        elif isinstance(line, Option):
            options.append(line)
    return Combination(name, path, header["version"], tuple(requirements), tuple(directs), tuple(options))


def refuse_old(python: str, *, where: str, remedy: str) -> None:
    """Raise `UsageError` for a Python version (major.minor) that the bench does not run on; `where` says it."""
    if Version(python) < Version(OLDEST_PYTHON):
        msg = f"{where}: Python {python} is too old: the bench runs on Python {OLDEST_PYTHON} and later. {remedy}"
        raise UsageError(msg)


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


def own_files(root: Path) -> list[str]:
    """Names of the repository's own combinations, and of the extended ones that it has itself."""
    return sorted(_in(root / MATRICES))


def own_names(root: Path) -> list[str]:
    """Names of the repository's own combinations, their extensions left out."""
    return [name for name in own_files(root) if EXTENDS not in name]


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


def given_folder(root: Path, name: str) -> Path:
    """The folder of requirements that were given, and of their environment."""
    return root / ".harness" / "environments" / name


def is_given(root: Path, name: str) -> bool:
    """Whether `name` is that of requirements that were given, and lie outside `matrices`."""
    return name not in _files(root) and (given_folder(root, name) / GIVEN).is_file()


def known(root: Path) -> list[str]:
    """Names of all combinations, those of requirements that were given among them."""
    given = (root / ".harness" / "environments").glob(f"*/{GIVEN}")
    return list(dict.fromkeys([*names(root), *sorted(path.parent.name for path in given)]))


def _read_given(root: Path, name: str) -> Combination:
    told = json.loads((given_folder(root, name) / GIVEN).read_text(encoding="utf-8"))
    return Combination(name, Path(told["file"]), told["python"], tuple(map(Requirement, told["requirements"])))


def read(root: Path, name: str) -> Combination:
    """The combination or the extended one called `name`."""
    if name not in _files(root):
        if is_given(root, name):
            return _read_given(root, name)
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
