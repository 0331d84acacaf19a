"""The pins of a repository that conversions depend on, from what it installs by."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from harness.bench.errors import UsageError
from harness.bench.places import MATRICES
from harness.matrix.contents import dependency_files
from harness.matrix.credentials import refuse_credentials
from harness.matrix.requirements.gathering import evaluated
from harness.matrix.requirements.given import Given, Source
from harness.matrix.requirements.lines import Option
from harness.matrix.requirements.projects import OF_POETRY
from harness.matrix.requirements.reading import read

CONVERTING = frozenset(
    {
        *("torch", "torchvision", "torchaudio", "transformers", "timm", "numpy", "protobuf"),
        *(
            "onnx",
            "onnxscript",
            "onnxruntime",
            "onnxruntime-gpu",
            "onnxsim",
            "onnxslim",
            "onnx2tf",
            "onnx-tf",
            "tf2onnx",
        ),
        *(
            "nobuco",
            "tensorflow",
            "tensorflow-cpu",
            "tf-keras",
            "keras",
            "jax",
            "jaxlib",
            "litert-torch",
            "ai-edge-litert",
        ),
        *("litert-torch", "ai-edge-litert", "coremltools", "optimum"),
    }
)
"""The packages that say whether a conversion works."""

_BROUGHT = ("numpy", "protobuf")
"""Converting packages that others bring: a bound on one counts though nothing asks for it by name."""

_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_LOCK = "uv.lock"


@dataclass(frozen=True, kw_only=True)
class Pins:
    """Requirement lines, the packages that they name, the files that they are from, and the Python version.

    `options` are the lines that say where packages come from. `passed_over` says which files could not be read, and
    why. `given` is what `--requirements` takes for all of it, `file` the file in that, and `watched` are the patterns
    of files that it depends on, relative to the root.
    """

    lines: tuple[str, ...]
    names: tuple[str, ...]
    files: tuple[str, ...]
    python: str
    options: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    given: str = ""
    file: str = ""
    watched: tuple[str, ...] = ()


def found_in(root: Path) -> Pins:
    """What `root` asks for of `CONVERTING` packages; of a package that is asked for twice, the first counts.

    Ranges count, too: a combination without them is another one. So do the bounds that constraints set, and where
    packages come from. Nothing where torch is not among them. Raises `UsageError` where an address that would be copied
    has a password.
    """
    python = _python(root)
    passed_over: list[str] = []
    found: dict[str, str] = {}
    files: dict[str, None] = {}
    options: dict[str, None] = {}
    main: Given | None = None
    extras: dict[str, None] = {}
    group = ""
    for given in _given(root, python, passed_over):
        where = given.source.path.relative_to(root).as_posix()
        fresh = {name: line for name, line in _lines(given, python).items() if name not in found}
        if not fresh:
            continue
        if given.source.group and group:
            passed_over.append(
                f"{where}:{given.source.group} is passed over: one group can be named, and that is {group}. "
                "Put what is converted into one."
            )
            continue
        group = group or given.source.group
        told = [str(_from_matrices(root, option)) for option in given.options if option.name != "--pre"]
        refuse_credentials([*told, *fresh.values()], where=where)
        main = given if "torch" in fresh else main
        extras |= dict.fromkeys(given.source.extras)
        found |= fresh
        files[where] = None
        options |= dict.fromkeys(told)
    if main is None:
        return Pins(lines=(), names=(), files=(), python=python, passed_over=tuple(passed_over))
    return Pins(
        lines=tuple(found.values()),
        names=tuple(found),
        files=tuple(files),
        python=python,
        options=tuple(options),
        passed_over=tuple(passed_over),
        **_told(root, main, extras, group),
    )


def _given(root: Path, python: str, passed_over: list[str]) -> Iterator[Given]:
    """The requirements of a repository, file by file; those that cannot be read are added to `passed_over`."""
    patterns = ("requirements.txt", "requirements*.txt", "requirements*.in", "requirements/*.txt", "requirements/*.in")
    paths = dict.fromkeys(path for pattern in patterns for path in sorted(root.glob(pattern)))
    sources = [Source(path=path) for path in paths]
    told = _pyproject(root)
    project, file = _table(told, "project"), root / "pyproject.toml"
    if project:
        sources += [Source(path=file)]
        sources += [Source(path=file, extras=(each,)) for each in _table(project, "optional-dependencies")]
    groups = _table(told, "dependency-groups")
    # That with torch first: only one is named.
    named = sorted(groups, key=lambda each: "torch" not in str(groups[each]))
    sources += [Source(path=file, group=each) for each in named]
    passed_over += _elsewhere(root, told, paths)
    for source in sources:
        given = _read(root, source, python, passed_over)
        if given is not None:
            yield given


def _elsewhere(root: Path, told: dict[str, Any], read_too: Collection[Path]) -> Iterator[str]:
    """What is told of dependencies that a project has in places that are not read."""
    project, poetry = _table(told, "project"), _table(told, "tool", "poetry")
    groups = _table(poetry, "group").values()
    tables = [_table(each, "dependencies") for each in (poetry, *groups) if isinstance(each, dict)]
    if any(canonicalize_name(name) in CONVERTING for table in tables for name in table):
        yield f"pyproject.toml is passed over: {OF_POETRY}"
    if "dependencies" in project.get("dynamic", ()):
        files = [each for each in dependency_files(root, told) if each.is_file() and each not in read_too]
        names = ", ".join(each.relative_to(root).as_posix() for each in files if each.is_relative_to(root))
        if names:
            yield (
                f"pyproject.toml is passed over: its dependencies are dynamic, from {names}. Write them as a "
                "requirements file here, such as by `uv pip compile pyproject.toml -o requirements.txt`."
            )


def _read(root: Path, source: Source, python: str, passed_over: list[str]) -> Given | None:
    try:
        return read(root, source, python=python)
    except (UsageError, ValueError) as error:
        passed_over.append(f"{source.path.relative_to(root).as_posix()} is passed over: {error}")
        return None


def _lines(given: Given, python: str) -> dict[str, str]:
    """The lines of the converting packages that `given` asks for under `python`, by name."""
    bounds: dict[str, SpecifierSet] = {}
    for each in given.constraints:
        name = canonicalize_name(each.requirement.name)
        if evaluated(each.requirement.marker, python):
            bounds[name] = bounds.get(name, SpecifierSet()) & each.requirement.specifier
    found: dict[str, str] = {}
    for each in given.wanted:
        name = canonicalize_name(each.requirement.name)
        if name in CONVERTING and name not in found and evaluated(each.requirement.marker, python):
            found[name] = _line(each.requirement, name, bounds.get(name, SpecifierSet()))
    if "torch" in found:
        found |= {name: f"{name}{bounds[name]}" for name in _BROUGHT if name in bounds and name not in found}
    return found


def _line(requirement: Requirement, name: str, bound: SpecifierSet) -> str:
    copied = Requirement(str(requirement))
    copied.name = name
    copied.specifier &= bound if copied.url is None else SpecifierSet()
    marker, copied.marker = copied.marker, None
    # A marker after an address needs the space before it.
    return f"{copied} ; {marker}" if marker else str(copied)


def _from_matrices(root: Path, option: Option) -> Option:
    """A folder of links, which is known by its whole path, as a combination names it."""
    if option.name != "--find-links" or "://" in option.value:
        return option
    return replace(option, value=os.path.relpath(option.value, root / MATRICES))


def _told(root: Path, given: Given, extras: Collection[str], group: str) -> dict[str, Any]:
    """What `--requirements` takes for `given`, and what it depends on."""
    source = given.source
    path = source.path
    if path.name == "pyproject.toml" and (root / _LOCK).is_file():
        path = root / _LOCK
    told = path.relative_to(root).as_posix()
    selected = ""
    if source.path.name == "pyproject.toml":
        selected = (f"[{','.join(extras)}]" if extras else "") + (f":{group}" if group else "")
    read_too = [each for each in given.files if each.is_relative_to(root)]
    watched = dict.fromkeys(each.relative_to(root).as_posix() for each in (path, source.path, *read_too))
    if given.project or any(each.is_folder for each in given.directs):
        parts = ("pyproject.toml", "setup.cfg", "setup.py")
        watched |= dict.fromkeys(each for each in parts if (root / each).is_file())
        watched["src/**" if (root / "src").is_dir() else "**.py"] = None
    return {"given": f"{told}{selected}", "file": told, "watched": tuple(watched)}


def _pyproject(root: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _table(told: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        value = told.get(key, {})
        told = value if isinstance(value, dict) else {}
    return told


def _python(root: Path) -> str:
    """The version that the repository states, else the one that this command runs in."""
    stated = root / ".python-version"
    text = stated.read_text(encoding="utf-8", errors="replace") if stated.is_file() else ""
    if found := re.match(r"\s*(?:cpython-)?(3\.\d+)", text):
        return found[1]
    running = f"3.{sys.version_info.minor}"
    try:
        wanted = SpecifierSet(str(_table(_pyproject(root), "project").get("requires-python", "")))
    except InvalidSpecifier:
        return running
    fitting = [version for version in _PYTHONS if wanted.contains(f"{version}.99")]
    return running if not fitting or running in fitting else fitting[-1]
