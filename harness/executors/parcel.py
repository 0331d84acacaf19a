"""What a node has to have of this machine's files: the harness itself, the zoo, and a user's own code, in one archive.

The archive is made of what is needed, with explicit exclusions: what git ignores may be needed, and git's own folder
never is. Where a folder lies in it is known here and there, so that a path of either side can be told on the other.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import harness
from harness.bench.errors import UsageError
from harness.bench.own_code import roots_of
from harness.bench.places import ZOO
from harness.bench.plan import Plan
from harness.bench.registry import model_files

EXCLUDED = frozenset(
    {
        ".git", ".hg", ".svn", ".tox", ".nox", ".venv", ".harness", ".idea", ".vscode", ".mypy_cache", ".ruff_cache",
        ".pytest_cache", ".hypothesis", ".ipynb_checkpoints", ".eggs", "__pycache__", "node_modules",
    }
)  # fmt: skip
"""Names of folders of which nothing travels: what tools keep for themselves."""

SECRETS = frozenset(
    {
        ".env", ".envrc", ".netrc", ".pypirc", ".npmrc", ".git-credentials", ".ssh", ".gnupg", ".aws", ".azure",
        ".gcloud", ".kube", ".docker",
    }
)  # fmt: skip
"""Files and folders by which somebody is let in somewhere: no conversion needs them, and a cluster is many people's."""

_ENVIRONMENT = "pyvenv.cfg"
"""A folder that has this is a virtual environment, whatever it is called."""

MOST_MB = 400
"""Ray takes no archive of more than 500 MiB."""

_MIB = 2**20
_LARGEST = 3
_SAME_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file, so that equal files make an equal archive, which a node has already."""


@dataclass(frozen=True)
class Parcel:
    """`folders` are those (and single files) that travel: path here to path in the archive."""

    folders: Mapping[str, str]

    def there(self, path: str, base: Path) -> str:
        """The path of a file or folder of this machine where the archive was unpacked in `base`."""
        for folder in sorted(self.folders, key=len, reverse=True):
            if Path(path).is_relative_to(folder):
                return str(base / self.folders[folder] / Path(path).relative_to(folder))
        msg = f"{path}: no such file or folder travels"
        raise LookupError(msg)

    def plan_there(self, plan: Plan, base: Path, *, lock: str) -> Plan:
        """A plan with its paths as they are where the archive was unpacked in `base`, and with the path of its lock."""
        models, plugins, paths = (
            tuple(self.there(path, base) for path in each) for each in (plan.models, plan.plugins, plan.paths)
        )
        artifacts = tuple((*names, self.there(folder, base)) for *names, folder in plan.artifacts)
        return replace(plan, models=models, plugins=plugins, paths=paths, lock=lock, artifacts=artifacts)  # type: ignore[arg-type]

    def text_here(self, text: str, base: Path, also: Mapping[str, str]) -> str:
        """The text of a JSON file with the paths of this machine in the place of those below `base`.

        `also` are further paths: there to here.
        """
        pairs = {str(base / name): folder for folder, name in self.folders.items()} | dict(also)
        for place in sorted(pairs, key=len, reverse=True):
            text = text.replace(json.dumps(place)[1:-1], json.dumps(pairs[place])[1:-1])
        return text


def parcel_of(plans: Sequence[Plan]) -> Parcel:
    """What has to travel for the cells of `plans`. Raises `UsageError` for a model's file that is not there."""
    package = Path(harness.__file__).resolve().parent
    folders = {str(package): "harness"}
    if not ZOO.is_relative_to(package):
        folders[str(ZOO)] = ZOO.name
    own = list(dict.fromkeys(path for plan in plans for path in _own(plan)))
    for path in own:
        if not any(other != path and _is_in(path, other) for other in own):
            folders[str(path)] = f"own/{len(folders)}/{path.name or 'root'}"
    return Parcel(folders)


def _own(plan: Plan) -> Iterator[Path]:
    """The folders and files of a user's that the cells of a plan need."""
    models, paths = ([Path(path) for path in each] for each in (plan.models, plan.paths))
    yield from (path for path in models if path.is_dir())
    for file in model_files(models):
        roots = roots_of(file, paths)
        yield from roots
        if not any(_is_in(file, root) for root in roots):
            yield file
    yield from paths
    yield from (Path(path) for path in (*plan.plugins, *(folder for *_, folder in plan.artifacts)))


def _is_in(path: Path, folder: Path) -> bool:
    """Whether what travels of `folder` has `path` in it."""
    return path.is_relative_to(folder) and not (EXCLUDED | SECRETS) & set(path.relative_to(folder).parts)


def pack(parcel: Parcel, archive: Path) -> None:
    """Write the archive. Raises `UsageError` where there is more than a cluster takes."""
    size, largest = 0, [(0, "")]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for place, name in parcel.folders.items():
            for path, inside in _files(Path(place), name):
                bytes_ = path.stat().st_size
                largest = sorted([*largest, (bytes_, str(path))], reverse=True)[:_LARGEST]
                size += bytes_
                if size > MOST_MB * _MIB:
                    told = ", ".join(f"{path} ({bytes_ // _MIB} MiB)" for bytes_, path in largest if path)
                    msg = (
                        f"more than {MOST_MB} MiB would have to travel to the nodes, among them {told}. Put models, "
                        "and what they import and read, in a folder without anything else."
                    )
                    raise UsageError(msg)
                entry = zipfile.ZipInfo(inside, _SAME_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (path.stat().st_mode & 0o777) << 16
                file.writestr(entry, path.read_bytes())


def _files(place: Path, name: str) -> Iterator[tuple[Path, str]]:
    """The files that travel of a folder, or the one file, each with its path in the archive, in the order of paths."""
    if place.is_file():
        yield place, name
        return
    for parent, folders, files in os.walk(place, followlinks=True):
        if parent != str(place) and _ENVIRONMENT in files:
            folders.clear()
            continue
        # What links lead to travels under each of its names; a link to a folder that it lies in would never end.
        above = _reals(Path(parent), place)
        folders[:] = sorted(
            name for name in set(folders) - EXCLUDED - SECRETS if os.path.realpath(Path(parent, name)) not in above
        )
        for each in sorted(set(files) - SECRETS):
            path = Path(parent, each)
            if path.suffix != ".pyc" and path.is_file():
                yield path, f"{name}/{path.relative_to(place).as_posix()}"


def _reals(folder: Path, place: Path) -> set[str]:
    """Where `folder` and those above it, up to `place`, really are."""
    return {os.path.realpath(each) for each in (folder, *folder.parents) if each.is_relative_to(place)}
