"""The Python that somebody's requirements are for: as they are told, as the files say, or the newest that fits."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from harness.bench.errors import UsageError
from harness.matrix import tooling
from harness.matrix.combination import OLDEST_PYTHON, refuse_old
from harness.matrix.requirements.given import Given

OF_VERSION_FILE = "as .python-version says"
_PYTHON = re.compile(r"3\.\d+")
_ANOTHER = "Name another one: --python-version 3.11."


def check_asked(python: str) -> None:
    """Raise `UsageError` where the version that a person asked for, or empty, is none that the bench runs on."""
    if python and not _PYTHON.fullmatch(python):
        msg = f"--python-version {python!r}: write it like 3.11."
        raise UsageError(msg)
    if python:
        refuse_old(python, where="--python-version", remedy="Name a newer one, such as 3.11.")


def pythons(root: Path, given: Given, asked: str, beside: tuple[str, str] | None) -> list[tuple[str, str]]:
    """The Python versions (major.minor) to try, in this order, each with why.

    `asked` is that which a person asked for, or empty; `beside` the name of what it is compared to, and its version.
    Raises `UsageError` for a version that the bench does not run on, and where none fits.
    """
    if asked:
        return [(asked, "as --python-version says")]
    if given.python:
        refuse_old(given.python, where=given.python_from, remedy=_ANOTHER)
        return [(given.python, f"as {given.python_from} says")]
    if version := version_file(root, given):
        refuse_old(version, where=".python-version", remedy=_ANOTHER)
        return [(version, OF_VERSION_FILE)]
    try:
        bounds = SpecifierSet(given.requires_python)
    except InvalidSpecifier:
        bounds = SpecifierSet()
    if beside is not None and _fits(beside[1], bounds):
        return [(beside[1], f"as {beside[0]} is")]
    fitting = [each for each in installed_pythons() if _fits(each, bounds)]
    if not fitting:
        needed = f"that fits {given.requires_python!r}" if given.requires_python else f"from {OLDEST_PYTHON} on"
        msg = f"{given.source.path.name}: no Python {needed} is installed here. Name one: --python-version 3.11."
        raise UsageError(msg)
    return [(each, "the newest that is installed here and under which they have a solution") for each in fitting]


def _fits(python: str, bounds: SpecifierSet) -> bool:
    return bounds.contains(python) or bounds.contains(f"{python}.99")


def version_file(root: Path, given: Given) -> str:
    """The version that the nearest `.python-version` says; empty where none does."""
    for folder in dict.fromkeys([given.source.path.parent, root]):
        try:
            text = (folder / ".python-version").read_text(encoding="utf-8")
        except OSError:
            continue
        if match := _PYTHON.match(text.strip()):
            return match[0]
    return ""


def installed_pythons() -> list[str]:
    """The versions (major.minor) of the Pythons that are installed here and that the bench runs on, newest first."""
    command = [tooling.uv(), "python", "list", "--only-installed", "--output-format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        told = json.loads(done.stdout or "[]")
    except ValueError:
        told = []
    minors = {
        each["version_parts"]["minor"]
        for each in told
        if each.get("implementation") == "cpython"
        and each.get("variant", "default") == "default"
        and each["version_parts"]["major"] == 3  # noqa: PLR2004
    }
    return [f"3.{minor}" for minor in sorted(minors, reverse=True) if minor >= int(OLDEST_PYTHON[2:])]
