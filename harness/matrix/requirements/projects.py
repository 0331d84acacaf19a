"""Projects that uv reads itself: `pyproject.toml` and `uv.lock`."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from harness.bench.errors import ToolBrokenError, UsageError, unknown
from harness.matrix import tooling
from harness.matrix.contents import dependency_files
from harness.matrix.credentials import without_credentials
from harness.matrix.requirements.gathering import Gathered, digest_of, text_of, toml_of
from harness.matrix.requirements.given import Given, Source
from harness.matrix.requirements.identifying import settings_of
from harness.matrix.requirements.lines import Option, Wanted
from harness.matrix.resolving import understand

OF_POETRY = (
    "it is Poetry's, which has its own form. Write it as a requirements file, and name that: `poetry export -o "
    "requirements.txt` (`poetry self add poetry-plugin-export` if it has no such command)."
)


def read_project(source: Source) -> Given:
    """`pyproject.toml`: uv resolves it itself, with the sources and the indexes that it names."""
    path = source.path
    text = text_of(path, path.name)
    told = toml_of(text, path.name)
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
            msg = f"{path.name}: {OF_POETRY}"
            raise UsageError(msg)
        msg = f"{path.name}: it has no table `project`. Name a group of it: --requirements {path.name}:GROUP."
        raise UsageError(msg)
    asking = [("dependencies", project.get("dependencies", []))]
    asking += [(f"the extra {extra!r}", extras[extra]) for extra in source.extras]
    asking += [(f"the group {source.group!r}", groups[source.group])] if source.group else []
    direct = [each for where, lines in asking for each in _requirements(lines, text, f"{path.name}, {where}")]
    files = [each for each in dependency_files(path.parent, told) if each.is_file()]
    named = [(os.path.relpath(each, path.parent), text_of(each, each.name)) for each in files]
    return Given(
        source=source,
        content=digest_of([("pyproject", text), ("selected", json.dumps([source.extras, source.group])), *named]),
        wanted=tuple(map(Wanted, direct)),
        options=_indexes(path.parent),
        compiled=True,
        project=path.parent if "build-system" in told and project else None,
        requires_python=project.get("requires-python", ""),
    )


def dependencies_of(folder: Path) -> list[Requirement]:
    """What the package of the project in `folder` asks for itself.

    Raises `UsageError` where its file leaves that to the build, which asks for what it likes.
    """
    path = folder / "pyproject.toml"
    text = text_of(path, path.name)
    project = toml_of(text, path.name).get("project", {})
    if "dependencies" in project.get("dynamic", ()):
        msg = f"{path.name}: its dependencies are made by the build. Write them out as a file of requirements."
        raise UsageError(msg)
    return _requirements(project.get("dependencies", []), text, f"{path.name}, dependencies")


def _requirements(lines: object, text: str, where: str) -> list[Requirement]:
    """What a list of a project's file asks for by name; `text` is that file's, for the number of a line."""
    if not isinstance(lines, list):
        msg = f'{where}: {lines!r} is no list. Write it like ["torch==2.1.0"].'
        raise UsageError(msg)
    found = []
    for each in lines:
        if not isinstance(each, str):
            continue  # a group that is included
        try:
            found.append(Requirement(each))
        except InvalidRequirement as error:
            numbers = (number for number, line in enumerate(text.splitlines(), start=1) if each in line)
            line = f", line {number}" if (number := next(numbers, None)) else ""
            shown, told = without_credentials(each), without_credentials(str(error).partition("\n")[0])
            msg = f"{where}{line}: {shown!r} is no requirement ({told}). Write it like `torch==2.1.0`."
            raise UsageError(msg) from None
    return found


def _indexes(folder: Path) -> tuple[Option, ...]:
    """Where uv takes the packages of the project in `folder` from, as its settings say."""
    place, settings = settings_of(folder)
    found = []
    for index in settings.get("index", []):
        if "url" in index:
            name = "--index-url" if index.get("default") else "--extra-index-url"
            found.append(Option("--find-links" if index.get("format") == "flat" else name, index["url"]))
    for told in (settings.get("pip", {}), settings):
        if "index-url" in told and not any(option.name == "--index-url" for option in found):
            found.append(Option("--index-url", told["index-url"]))
        found += [Option("--extra-index-url", each) for each in told.get("extra-index-url", [])]
        found += [Option("--find-links", each) for each in told.get("find-links", [])]
        found += [Option("--no-index")] if told.get("no-index") else []
    absolute = (
        option
        if "://" in option.value or not option.value
        else replace(option, value=str((place / option.value).resolve()))
        for option in found
    )
    return tuple(dict.fromkeys(absolute))


def read_uv_lock(source: Source, gathered: Gathered) -> Given:
    """`uv.lock`, as `uv export` tells it: versions and hashes are the lock's."""
    folder = source.path.parent
    command = [tooling.uv(), "export", "--frozen", "--quiet", "--no-header", "--no-annotate"]
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [*command, "--format=requirements.txt", *source.arguments],
        cwd=folder,
        env={**environ, **tooling.UNWRAPPED},
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
    gathered.options += _indexes(folder)
    return Given(
        source=source,
        content=digest_of([("uv.lock", done.stdout), ("indexes", str(gathered.options))]),
        locked=True,
        project=folder if project else None,
        requires_python=toml_of(text_of(source.path, "uv.lock"), "uv.lock").get("requires-python", ""),
        **gathered.asked(),
    )
