"""Reads requirements in any form that people have them in, into one typed thing: `Given`. Nothing is resolved here.

`requirements.txt` with all that it includes, hashed compile outputs, `pyproject.toml`, `uv.lock` and `pylock.toml`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.requirements import Requirement

from harness.bench.environment import canonical
from harness.bench.errors import ToolBrokenError, UsageError, unknown
from harness.matrix import tooling
from harness.matrix.contents import dependency_files
from harness.matrix.credentials import without_credentials
from harness.matrix.requirements.identifying import told_apart, uv_settings
from harness.matrix.requirements.lines import Direct, Include, Option, Wanted, parse_lines
from harness.matrix.resolving import understand

_HEADERS = (
    re.compile(r"^#\s*python:\s*(3\.\d+)", re.MULTILINE),
    re.compile(r"^#.*uv pip compile.*--python-version[ =](3\.\d+)", re.MULTILINE),
    re.compile(r"^#.*pip-compile with Python (3\.\d+)", re.MULTILINE),
)
_SELECTOR = re.compile(r"^(?P<file>.*\.(?:toml|lock))(?:\[(?P<extras>[\w.,\s-]+)\])?(?::(?P<group>[\w.-]+))?$")
_OF_POETRY = (
    "it is Poetry's, which has its own form. Write it as a requirements file, and name that: `poetry export -o "
    "requirements.txt` (`poetry self add poetry-plugin-export` if it has no such command)."
)
_PUBLIC = re.compile(r"https?://pypi\.org/simple/?$")


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
    def stem(self) -> str:
        """The file's name, as far as it can be part of a combination's."""
        stem = self.source.path.name
        for suffix in (".toml", ".lock", ".txt", ".in"):
            stem = stem.removesuffix(suffix)
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "requirements"


@dataclass
class _Gathered:
    """What the lines of a file and of those that it includes ask for, as it is read."""

    root: Path
    python: str
    wanted: list[Wanted] = field(default_factory=list)
    constraints: list[Wanted] = field(default_factory=list)
    directs: list[Direct] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    referred: list[Direct] = field(default_factory=list)
    """All of `directs`, those that are for another Python or machine too."""
    seen: set[tuple[Path, bool]] = field(default_factory=set)

    def file(self, path: Path, *, where: str, constraining: bool = False) -> str:
        """Read a file and what it includes; its text."""
        if (path, constraining) in self.seen:
            return ""
        self.seen.add((path, constraining))
        text = _text(path, where)
        self.texts.append(("-c" if constraining else "-r", text))
        self.lines(text, folder=path.parent, where=where, constraining=constraining)
        return text

    def lines(self, text: str, *, folder: Path, where: str, constraining: bool = False) -> None:
        """Take up the lines of a text; what is relative there is so to `folder`, or to the root."""
        for number, line in parse_lines(text, where=where):
            if isinstance(line, Include):
                if "://" in line.file:
                    address = without_credentials(line.file)
                    msg = f"{where}, line {number}: {address}: what is elsewhere is not read. Download it, and name it."
                    raise UsageError(msg)
                nearest = next((p for p in (folder / line.file, self.root / line.file) if p.is_file()), None)
                if nearest is None:
                    msg = f"{where}, line {number}: {without_credentials(line.file)}: no such file. Correct the path."
                    raise UsageError(msg)
                self.file(nearest.resolve(), where=line.file, constraining=constraining or line.kind == "-c")
            elif isinstance(line, Option):
                self.options.append(_absolute(line, folder))
            elif isinstance(line, Wanted):
                (self.constraints if constraining else self.wanted).append(line)
            elif constraining:
                self.notes.append(
                    f"{where}, line {number}: {without_credentials(line.target)} is passed over: "
                    "a folder, a file or an address bounds nothing"
                )
            else:
                self.direct(line, folder, where=f"{where}, line {number}")

    def direct(self, line: Direct, folder: Path, *, where: str) -> None:
        """Take up a folder, a file or an address; one that is not asked for here need not be there."""
        path = line.path(folder, self.root) if line.is_local else None
        self.referred.append(replace(line, target=str(path)) if path else line)
        marker = Marker(line.marker) if line.marker else None
        if self.python and not evaluated(marker, self.python):
            return
        if path and not path.exists():
            if marker and not self.python:
                return
            msg = f"{where}: {line.target}: no such file or folder. Correct the path."
            raise UsageError(msg)
        # A folder is used where it is: uv would keep a copy of it, and not see that its code has changed.
        there = replace(line, target=str(path), editable=path.is_dir()) if path else line
        self.directs.append(replace(there, marker=""))


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


def read(root: Path, source: Source, *, python: str) -> Given:
    """What `source` asks for, under `python` where a form needs to know it.

    Raises `UsageError` with file, line and remedy for what cannot be read, and what `understand` does where uv has to
    read it.
    """
    name = source.path.name
    gathered = _Gathered(root=root, python=python)
    if name == "pyproject.toml":
        given = _read_project(source)
    elif name == "poetry.lock":
        msg = f"{name}: {_OF_POETRY}"
        raise UsageError(msg)
    elif name == "uv.lock":
        gathered.root = source.path.parent
        given = _read_uv_lock(source, gathered)
    elif re.fullmatch(r"pylock(\.[^.]+)?\.toml", name):
        given = _read_pylock(source, gathered)
    else:
        given = _read_requirements(source, gathered)
    meant = told_apart(root, direct=gathered.referred, options=given.options, project=given.project)
    settings = uv_settings(root, source.path.parent)
    content = _digest([("content", given.content), ("meant", meant), ("uv", settings)])
    return replace(given, content=content, notes=tuple(dict.fromkeys(gathered.notes)))


def evaluated(marker: Marker | None, python: str) -> bool:
    """Whether a marker holds on this machine under `python`."""
    if marker is None:
        return True
    try:
        full = tooling.python_full_version(python)
        return marker.evaluate({"python_version": python, "python_full_version": full, "extra": ""})
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def _read_requirements(source: Source, gathered: _Gathered) -> Given:
    text = gathered.file(source.path, where=source.path.name)
    header = next((match[1] for pattern in _HEADERS if (match := pattern.search(text))), "")
    return Given(
        source=source,
        content=_digest(gathered.texts),
        locked=_is_locked(gathered.wanted),
        direct=tuple(dict.fromkeys(name for _, each in gathered.texts for name in _direct_names(each))),
        python=header,
        python_from=f"the header of {source.path.name}" if header else "",
        files=tuple(dict.fromkeys([source.path, *sorted(path for path, _ in gathered.seen)])),
        **_asked(gathered),
    )


def _direct_names(text: str) -> Iterator[str]:
    """The packages that a compiled file has from another file of requirements, by uv's and pip-compile's comments."""
    name = ""
    for line in text.splitlines():
        if match := re.match(r"[A-Za-z0-9][\w.-]*", line):
            name = canonical(match[0])
        elif name and re.match(r"\s+#\s+(?:via )?-r ", line):
            yield name


def _asked(gathered: _Gathered) -> dict[str, Any]:
    names = ("wanted", "constraints", "directs", "options")
    return {name: tuple(dict.fromkeys(getattr(gathered, name))) for name in names}


def _is_locked(wanted: list[Wanted]) -> bool:
    """Whether every version is fixed, and its hashes with it."""
    return bool(wanted) and all(
        each.hashes and (each.requirement.url or [s.operator for s in each.requirement.specifier] == ["=="])
        for each in wanted
    )


def _read_project(source: Source) -> Given:
    """`pyproject.toml`: uv resolves it itself, with the sources and the indexes that it names."""
    path = source.path
    text = _text(path, path.name)
    told = _toml(text, path.name)
    project = told.get("project", {})
    extras, groups = project.get("optional-dependencies", {}), told.get("dependency-groups", {})
    asked = [
        *(("extra", each, extras) for each in source.extras),
        *([("group", source.group, groups)] if source.group else []),
    ]
    for kind, each, there in asked:
        if each not in there:
            msg = f"{path.name}: {unknown(kind, each, there)}"
            raise UsageError(msg)
    if not project and not source.group:
        if "poetry" in told.get("tool", {}):
            msg = f"{path.name}: {_OF_POETRY}"
            raise UsageError(msg)
        msg = f"{path.name}: it has no table `project`. Name a group of it: --requirements {path.name}:GROUP."
        raise UsageError(msg)
    direct = [*project.get("dependencies", [])]
    for extra in source.extras:
        direct += extras[extra]
    direct += [each for each in groups.get(source.group, []) if isinstance(each, str)]
    files = [each for each in dependency_files(path.parent, told) if each.is_file()]
    named = [(os.path.relpath(each, path.parent), _text(each, each.name)) for each in files]
    return Given(
        source=source,
        content=_digest([("pyproject", text), ("selected", json.dumps([source.extras, source.group])), *named]),
        wanted=tuple(Wanted(Requirement(each)) for each in direct),
        options=_indexes(told),
        compiled=True,
        project=path.parent if "build-system" in told and project else None,
        requires_python=project.get("requires-python", ""),
    )


def _indexes(told: dict[str, Any]) -> tuple[Option, ...]:
    """The indexes that a project's file names to uv."""
    return tuple(
        Option("--index-url" if index.get("default") else "--extra-index-url", index["url"])
        for index in told.get("tool", {}).get("uv", {}).get("index", [])
        if "url" in index
    )


def _read_uv_lock(source: Source, gathered: _Gathered) -> Given:
    """`uv.lock`, as `uv export` tells it: versions and hashes are the lock's."""
    folder = source.path.parent
    command = [tooling.uv(), "export", "--frozen", "--quiet", "--no-header", "--no-annotate"]
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [*command, "--format=requirements.txt", *source.arguments],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        try:
            said = understand(done.stderr, f"reading {source.path.name}").reason
        except ToolBrokenError as error:
            said = str(error)
        msg = (
            f"{source.path.name}: uv cannot read it ({said}). Run `uv lock` there, and name an extra or a group it has."
        )
        raise UsageError(msg)
    gathered.lines(done.stdout, folder=folder, where=source.path.name)
    project = [each for each in gathered.directs if each.path(folder) == folder]
    gathered.directs = [each for each in gathered.directs if each not in project]
    manifest = folder / "pyproject.toml"
    told = _toml(_text(manifest, manifest.name), manifest.name) if manifest.is_file() else {}
    gathered.options += _indexes(told)
    return Given(
        source=source,
        content=_digest([("uv.lock", done.stdout), ("indexes", str(gathered.options))]),
        locked=True,
        project=folder if project else None,
        requires_python=_toml(_text(source.path, "uv.lock"), "uv.lock").get("requires-python", ""),
        **_asked(gathered),
    )


def _read_pylock(source: Source, gathered: _Gathered) -> Given:
    """`pylock.toml`: the packages of it that this Python has."""
    name = source.path.name
    if source.extras or source.group:
        msg = f"{name}: it is taken whole, without an extra or a group. Leave that out, or make one of just that by uv."
        raise UsageError(msg)
    text = _text(source.path, name)
    try:
        lock = Pylock.from_dict(_toml(text, name))
    except PylockValidationError as error:
        msg = f"{name}: no valid pylock.toml ({error}). Make it anew."
        raise UsageError(msg) from None
    for package in lock.packages:
        if gathered.python and not evaluated(package.marker, gathered.python):
            continue
        gathered.lines(_line_of(package, name), folder=source.path.parent, where=name)
        if package.index and not _PUBLIC.match(package.index):
            gathered.options.append(Option("--extra-index-url", package.index))
    # Their paths are part of the text already, for any Python; what they are relative to is not.
    local = any(each.directory or (each.archive and each.archive.path) for each in lock.packages)
    gathered.referred = [Direct(str(source.path.parent))] if local else []
    return Given(
        source=source,
        content=_digest([("pylock", text)]),
        locked=True,
        requires_python=str(lock.requires_python or ""),
        **_asked(gathered),
    )


def _line_of(package: Package, where: str) -> str:
    """A package of a pylock.toml as a line of a requirements file."""
    if package.directory is not None:
        return f"{'-e ' if package.directory.editable else ''}./{package.directory.path}"
    if package.vcs is not None:
        return f"{package.name} @ {package.vcs.type}+{package.vcs.url or package.vcs.path}@{package.vcs.commit_id}"
    if package.archive is not None:
        hashes = " ".join(f"--hash={kind}:{value}" for kind, value in package.archive.hashes.items())
        place = package.archive.url or f"./{package.archive.path}"
        return f"{package.name} @ {place} {hashes}" if package.archive.url else f"{place} {hashes}"
    if package.version is None:
        msg = f"{where}: {package.name} has no version. Make it anew."
        raise UsageError(msg)
    files = [*(package.wheels or ()), *([package.sdist] if package.sdist else ())]
    hashes = " ".join(f"--hash={kind}:{value}" for each in files for kind, value in each.hashes.items())
    return f"{package.name}=={package.version} {hashes}"


def _absolute(option: Option, folder: Path) -> Option:
    """A folder of links by its whole path, so that it is found from anywhere."""
    if option.name != "--find-links" or "://" in option.value:
        return option
    return Option(option.name, str((folder / option.value).resolve()))


def _text(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{where}: cannot be read as UTF-8 text ({error})."
        raise UsageError(msg) from None


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{where}: not valid TOML: {error}."
        raise UsageError(msg) from None


def _digest(texts: list[tuple[str, str]]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
