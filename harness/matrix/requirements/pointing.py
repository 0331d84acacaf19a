"""Which line of a file asks for a package, in any form that people have requirements in. Nothing is judged here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from harness.bench.environment import canonical
from harness.bench.errors import UsageError
from harness.matrix.requirements.lines import Include, Wanted, parse_lines

_QUOTED = re.compile(r"""(["'])(?P<text>.+?)\1""")
_LOCKED = re.compile(r"""(?P<key>name|version) = ["'](?P<value>[^"']+)["']$""")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A line that asks for a package; `version` is the one that it pins, empty where that is none."""

    name: str
    version: str
    path: Path
    line: int


def lines_of(path: Path, versions: Mapping[str, str]) -> dict[str, Asked]:
    """The lines of a file, and of those that it includes, that ask for packages of these names.

    Of several lines for a package the first counts that pins the version that `versions` has for it, else the first of
    all. What cannot be read asks for nothing.
    """
    found: dict[str, Asked] = {}
    for each in _asked(path, set()):
        if each.name in versions:
            before = found.setdefault(each.name, each)
            if before.version != versions[each.name] == each.version:
                found[each.name] = each
    return found


def _asked(path: Path, seen: set[Path]) -> Iterator[Asked]:
    seen.add(path)
    try:
        text = path.read_text(encoding="utf-8")
        if path.name == "pyproject.toml":
            yield from _of_project(path, text)
        elif path.suffix in (".lock", ".toml"):
            yield from _of_lock(path, text)
        else:
            yield from _of_requirements(path, text, seen)
    except (OSError, ValueError, UsageError):
        return


def _of_requirements(path: Path, text: str, seen: set[Path]) -> Iterator[Asked]:
    for number, line in parse_lines(text, where=path.name):
        if isinstance(line, Wanted):
            yield _of(line.requirement, path, number)
        elif isinstance(line, Include) and (included := (path.parent / line.file).resolve()) not in seen:
            yield from _asked(included, seen)


def _of_project(path: Path, text: str) -> Iterator[Asked]:
    """The lines with a string that is a dependency of the project, of an extra, or of a group."""
    told = tomllib.loads(text)
    project = told.get("project", {})
    lists: list[Any] = [project.get("dependencies", [])]
    lists += [*project.get("optional-dependencies", {}).values(), *told.get("dependency-groups", {}).values()]
    wanted = {each for listed in lists for each in listed if isinstance(each, str)}
    for number, line in enumerate(text.splitlines(), start=1):
        for quoted in _QUOTED.finditer(line):
            if quoted["text"] in wanted:
                try:
                    yield _of(Requirement(quoted["text"]), path, number)
                except InvalidRequirement:
                    continue


def _of_lock(path: Path, text: str) -> Iterator[Asked]:
    """The lines of `uv.lock` and `pylock.toml` that have the version of a package, which are those that move."""
    name = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("[["):
            name = ""
        elif (told := _LOCKED.match(line)) and told["key"] == "name":
            name = canonical(told["value"])
        elif told and name:
            yield Asked(name=name, version=told["value"], path=path, line=number)


def _of(requirement: Requirement, path: Path, number: int) -> Asked:
    exact = [each.version for each in requirement.specifier if each.operator in ("==", "===")]
    return Asked(name=canonical(requirement.name), version=exact[0] if exact else "", path=path, line=number)
