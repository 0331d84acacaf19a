"""Projects that uv reads itself: `pyproject.toml` and `uv.lock`."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from packaging.requirements import Requirement

from harness.bench.errors import ToolBrokenError, UsageError, unknown
from harness.matrix import tooling
from harness.matrix.contents import dependency_files
from harness.matrix.requirements.gathering import Gathered, digest_of, text_of, toml_of
from harness.matrix.requirements.given import Given, Source
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
    direct = [*project.get("dependencies", [])]
    for extra in source.extras:
        direct += extras[extra]
    direct += [each for each in groups.get(source.group, []) if isinstance(each, str)]
    files = [each for each in dependency_files(path.parent, told) if each.is_file()]
    named = [(os.path.relpath(each, path.parent), text_of(each, each.name)) for each in files]
    return Given(
        source=source,
        content=digest_of([("pyproject", text), ("selected", json.dumps([source.extras, source.group])), *named]),
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


def read_uv_lock(source: Source, gathered: Gathered) -> Given:
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
    told = toml_of(text_of(manifest, manifest.name), manifest.name) if manifest.is_file() else {}
    gathered.options += _indexes(told)
    return Given(
        source=source,
        content=digest_of([("uv.lock", done.stdout), ("indexes", str(gathered.options))]),
        locked=True,
        project=folder if project else None,
        requires_python=toml_of(text_of(source.path, "uv.lock"), "uv.lock").get("requires-python", ""),
        **gathered.asked(),
    )
