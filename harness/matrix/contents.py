"""The content of a package that lies in a folder: a digest of what it is built from.

It is part of the lock, and so of what an environment is: an edit of theirs, of data too, is another environment and
not another version's fault. What merely lies beside the package makes no difference, where its build settings tell.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.bench.environment import canonical
from harness.bench.package_files import is_made, package_files

_PACKAGING = ("pyproject.toml", "setup.cfg", "setup.py", "MANIFEST.in")
_NOT_BUILT = {"build", "dist", "docs", "matrices", "models", "node_modules", "results", "tests"}
"""Folders beside a package that are none of it; those with an `__init__.py` of their own are, but for tests."""

_SETUPTOOLS = {"packages", "package-dir", "package-data", "exclude-package-data", "include-package-data", "py-modules"}
_SETUPTOOLS |= {"dynamic", "zip-safe", "license-files"}
_DECLARED = ("hatchling", "poetry", "flit_core", "flit", "pdm", "uv_build")
"""Build backends that build from what they declare, or from `src` or the package beside pyproject.toml."""


def content_of(folder: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of all that the package in `folder` is built from."""
    told = _told(folder)
    found = {folder / name for name in _PACKAGING} | set(dependency_files(folder, told))
    places = _places(folder, told)
    for place in _everything(folder) if places is None else places:
        found.update(package_files(place) if place.is_dir() else [place])
    digest = hashlib.sha256()
    for path in sorted(found):
        if path.is_file():
            digest.update(f"{os.path.relpath(path, folder)}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def dependency_files(folder: Path, told: Mapping[str, Any]) -> list[Path]:
    """The files from which a build takes what the project depends on, where its pyproject.toml leaves that to it."""
    dynamic = set(_table(told, "project").get("dynamic", ()))
    if not {"dependencies", "optional-dependencies"} & dynamic:
        return []
    declared = _table(told, "tool", "setuptools", "dynamic")
    tables = [declared.get("dependencies", {}), *_table(declared, "optional-dependencies").values()]
    names = [name for table in tables if isinstance(table, dict) for name in _listed(table.get("file", []))]
    hooks = _table(told, "tool", "hatch", "metadata", "hooks", "requirements_txt")
    names += _listed(hooks.get("files", hooks.get("filename", [])))
    if not names:
        # A plugin or a setup.py reads them from wherever it likes: these are the usual places.
        usual = ("requirements*.txt", "requirements*.in", "requirements/*.txt", "requirements/*.in")
        found = {each for form in usual for each in folder.glob(form)}
        return sorted(found | {folder / "setup.py", folder / "setup.cfg"})
    return sorted({folder / name for name in names})


def _told(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _table(told: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        value = told.get(key, {})
        told = value if isinstance(value, dict) else {}
    return told


def _listed(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value] if isinstance(value, list) else []


def _places(folder: Path, told: Mapping[str, Any]) -> list[Path] | None:
    """The folders and files that the build settings say the package is built from; None where they do not tell."""
    backend = str(_table(told, "build-system").get("build-backend", "")).partition(":")[0].partition(".")[0]
    tool = _table(told, "tool")
    if backend in ("", "setuptools") and not (folder / "setup.py").exists() and not (folder / "setup.cfg").exists():
        places = _of_setuptools(folder, _table(tool, "setuptools"))
    elif backend in _DECLARED:
        places = _declared(folder, backend, tool)
    else:
        return None
    name = canonical(str(_table(told, "project").get("name") or _table(tool, "poetry").get("name", "")))
    if places == []:
        plain = name.replace("-", "_")
        # Each backend looks for these in an order of its own: too much makes an environment new, too little an old one.
        places = [folder / "src", folder / plain, folder / f"{plain}.py"]
        places = [place for place in places if place.exists()]
    # What is declared and not there is told by the build itself.
    return places if places and all(place.exists() for place in places) else None


def _of_setuptools(folder: Path, table: Mapping[str, Any]) -> list[Path] | None:
    if set(table) - _SETUPTOOLS:
        return None  # extension modules, commands and files of its own
    packages, at = table.get("packages"), _table(table, "package-dir")
    places = [folder / each for each in at.values()]
    modules = [folder / str(at.get("", "")) / f"{name}.py" for name in _listed(table.get("py-modules", []))]
    if isinstance(packages, dict):
        found = _table(packages, "find")
        where = [each for each in _listed(found.get("where", [])) if each != "."]
        forms = [each.partition(".")[0] for each in _listed(found.get("include", []))]
        fitting = [[p for p in folder.glob(form) if p.is_dir() and not is_made(p.name)] for form in forms]
        if not where and not (fitting and all(fitting) and not any(form.startswith("*") for form in forms)):
            return None
        places += [folder / each for each in where] or [each for some in fitting for each in some]
    elif isinstance(packages, list):
        tops = [each.partition(".")[0] for each in _listed(packages)]
        places += [folder / str(at.get("", "")) / top for top in tops if top not in at]
    return [*places, *modules]


def _declared(folder: Path, backend: str, tool: Mapping[str, Any]) -> list[Path] | None:
    """What these backends are told to build from: an empty list where that is left to their rules."""
    if backend == "hatchling":
        build = _table(tool, "hatch", "build")
        wheel = _table(build, "targets", "wheel")
        known = not set(build) - {"targets"} and not set(wheel) - {"packages", "only-include"}
        # Another target's settings may be the wheel's too, which is built from the source archive.
        known = known and set(_table(build, "targets")) <= {"wheel"}
        return [folder / each for key in wheel for each in _listed(wheel[key])] if known else None
    if backend == "poetry":
        table = _table(tool, "poetry")
        if {"include", "build"} & set(table):
            return None
        packages = [each for each in table.get("packages", []) if isinstance(each, dict) and "include" in each]
        if any("*" in str(each["include"]) for each in packages):
            return None
        return [folder / str(each.get("from", "")) / str(each["include"]) for each in packages]
    if backend in ("flit", "flit_core"):
        name = _table(tool, "flit", "module").get("name")
        return [next((p for p in (folder / "src" / name, folder / name) if p.exists()), folder / name)] if name else []
    settings = _table(tool, "pdm", "build") if backend == "pdm" else _table(tool, "uv", "build-backend")
    # Without `src`, pdm takes every package beside pyproject.toml.
    return None if settings or (backend == "pdm" and not (folder / "src").is_dir()) else []


def _everything(folder: Path) -> Iterator[Path]:
    """All that git would track, but for what lies beside a package."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        tracked = [folder / name for name in done.stdout.split("\0") if name] if done.returncode == 0 else []
    except (OSError, UnicodeDecodeError):
        tracked = []
    for path in tracked or folder.iterdir():
        parts = path.relative_to(folder).parts
        top = folder / parts[0]
        beside = parts[0] in _NOT_BUILT and top.is_dir()
        if beside and (parts[0] == "tests" or not (top / "__init__.py").is_file()):
            continue
        if not any(map(is_made, parts)):
            yield path
