"""Reads requirements in any form that people have them in, into one typed thing: `Given`. Nothing is resolved here.

`requirements.txt` with all that it includes, hashed compile outputs, `pyproject.toml`, `uv.lock` and `pylock.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from packaging.pylock import Package, Pylock, PylockValidationError

from harness.bench.environment import canonical
from harness.bench.errors import UsageError
from harness.matrix.requirements.gathering import Gathered, digest_of, evaluated, text_of, toml_of
from harness.matrix.requirements.given import Given, Source
from harness.matrix.requirements.identifying import told_apart, uv_settings
from harness.matrix.requirements.lines import Direct, Option, Wanted
from harness.matrix.requirements.projects import OF_POETRY, read_project, read_uv_lock

_HEADERS = (
    re.compile(r"^#\s*python:\s*(3\.\d+)", re.MULTILINE),
    re.compile(r"^#.*uv pip compile.*--python-version[ =](3\.\d+)", re.MULTILINE),
    re.compile(r"^#.*pip-compile with Python (3\.\d+)", re.MULTILINE),
)
_PROJECT = re.compile(r"^# project: (?P<folder>.+)$", re.MULTILINE)
"""In a candidate of a project: where its package is, from the root."""
_PUBLIC = re.compile(r"https?://pypi\.org/simple/?$")


def read(root: Path, source: Source, *, python: str) -> Given:
    """What `source` asks for, under `python` where a form needs to know it.

    Raises `UsageError` with file, line and remedy for what cannot be read, and what `understand` does where uv has to
    read it.
    """
    name = source.path.name
    gathered = Gathered(root=root, python=python)
    if name == "pyproject.toml":
        given = read_project(source)
    elif name == "poetry.lock":
        msg = f"{name}: {OF_POETRY}"
        raise UsageError(msg)
    elif name == "uv.lock":
        gathered.root = source.path.parent
        given = read_uv_lock(source, gathered)
    elif re.fullmatch(r"pylock(\.[^.]+)?\.toml", name):
        given = _read_pylock(source, gathered)
    else:
        given = _read_requirements(source, gathered)
    meant = told_apart(root, direct=gathered.referred, options=given.options, project=given.project)
    settings = uv_settings(root, source.path.parent, *([given.project] if given.project else []))
    content = digest_of([("content", given.content), ("meant", meant), ("uv", settings)])
    return replace(given, content=content, notes=tuple(dict.fromkeys(gathered.notes)))


def _read_requirements(source: Source, gathered: Gathered) -> Given:
    text = gathered.file(source.path, where=source.path.name)
    header = next((match[1] for pattern in _HEADERS if (match := pattern.search(text))), "")
    # A comment of a person's own file says nothing here.
    made = source.path.is_relative_to(gathered.root / ".harness" / "candidates")
    project = _PROJECT.search(text) if made else None
    return Given(
        source=source,
        content=digest_of(gathered.texts),
        project=(gathered.root / project["folder"]).resolve() if project else None,
        locked=_is_locked(gathered.wanted),
        direct=tuple(dict.fromkeys(name for _, each in gathered.texts for name in _direct_names(each))),
        python=header,
        python_from=f"the header of {source.path.name}" if header else "",
        files=tuple(dict.fromkeys([source.path, *sorted(path for path, _ in gathered.seen)])),
        **gathered.asked(),
    )


def _direct_names(text: str) -> Iterator[str]:
    """The packages that a compiled file has from another file of requirements, by uv's and pip-compile's comments."""
    name = ""
    for line in text.splitlines():
        if match := re.match(r"[A-Za-z0-9][\w.-]*", line):
            name = canonical(match[0])
        elif name and re.match(r"\s+#\s+(?:via )?-r ", line):
            yield name


def _is_locked(wanted: list[Wanted]) -> bool:
    """Whether every version is fixed, and its hashes with it."""
    return bool(wanted) and all(
        each.hashes and (each.requirement.url or [s.operator for s in each.requirement.specifier] == ["=="])
        for each in wanted
    )


def _read_pylock(source: Source, gathered: Gathered) -> Given:
    """`pylock.toml`: the packages of it that this Python has."""
    name = source.path.name
    if source.extras or source.group:
        msg = f"{name}: it is taken whole, without an extra or a group. Leave that out, or make one of just that by uv."
        raise UsageError(msg)
    text = text_of(source.path, name)
    try:
        lock = Pylock.from_dict(toml_of(text, name))
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
        content=digest_of([("pylock", text)]),
        locked=True,
        requires_python=str(lock.requires_python or ""),
        **gathered.asked(),
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
