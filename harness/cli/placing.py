"""Where in the repository packages are asked for and models are, so that what is told of them can point there.

What is told to be typed is what whoever reads it elsewhere has.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.bench.errors import UsageError
from harness.bench.places import MATRICES
from harness.bench.series import values_of
from harness.matrix import combination as combinations
from harness.matrix.places import OWN
from harness.matrix.requirements import keeping
from harness.matrix.requirements.pointing import lines_of
from harness.report.next_steps import Asked, Reader
from harness.report.outlets.facts import Place, Places
from harness.tables.layout import RUN
from harness.tables.schema import Run
from harness.verdict.comparison import Comparison

_ZOO = "model_zoo"


def places_of(root: Path, *runs: Run, models: Iterable[str] = ()) -> Places:
    """The lines of the first of `runs` whose requirements are a file of the repository, and the files of `models`.

    A candidate that the harness made lies in no repository: there the base is what was moved.
    """
    found: dict[str, Place] = {}
    for run in runs:
        found = found or pins_in(root, run.combination, {**run.packages, **run.pins})
    files = {name: place for name in models for run in runs[:1] if (place := _model(root, run, name))}
    pinned_in = next((Place(path=each.path) for each in found.values()), None)
    return Places(pins=found, models=files, pinned_in=pinned_in)


def pins_in(root: Path, combination: str, versions: Mapping[str, str]) -> dict[str, Place]:
    """The lines that ask for packages of these names, in the file of a combination or in that which was given."""
    try:
        path = (root / combinations.read(root, combination).path).resolve()
    except (UsageError, OSError, ValueError):
        return {}
    found: dict[str, Place] = {}
    for file in (_edited(root, path), path):
        for name, asked in lines_of(file, versions).items():
            if told := _told(root, asked.path):
                found.setdefault(name, Place(path=told, line=asked.line))
    return found


def reader_of(root: Path, comparison: Comparison) -> Reader:
    """Whoever reads it elsewhere: they have a checkout of the repository, and nothing else that is on this machine."""
    folders = [table.folder for table in comparison.tables]
    names = {run.combination for run in (comparison.base, comparison.candidate)}
    return Reader(
        tables=all(folder is not None and _committed(folder) for folder in folders),
        given={name: _asked(root, name) for name in names if combinations.is_given(root, name)},
    )


def _asked(root: Path, name: str) -> Asked | None:
    """The file of the repository that requirements were given by, with their options."""
    stated = keeping.known(root, name).stated
    if not stated or not _told(root, (root / stated["file"]).resolve()):
        return None
    python = f" --python-version {stated['asked']}" if stated["asked"] else ""
    return Asked(file=stated["given"], options=f"{python}{' --all' if stated['everything'] else ''}")


def _committed(folder: Path) -> bool:
    """Whether git knows the table in `folder`."""
    command = ["git", "ls-files", "--error-unmatch", RUN]
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
    except OSError:  # there is no git, or no such folder
        return False


def _edited(root: Path, path: Path) -> Path:
    """Of a combination's lock the file that people edit."""
    matrices = (root / MATRICES).resolve()
    return matrices / f"{path.stem}.in" if path.is_relative_to(matrices / "locks") else path


def _model(root: Path, run: Run, name: str) -> Place | None:
    """The file of a model: of the zoo, or of the files and folders that the run was given."""
    file = f"{name.removeprefix('own:').replace('-', '_')}.py"
    paths = [root / _ZOO / file]
    for value in values_of(run.models):
        paths.insert(0, root / value if value.endswith(".py") else root / value / file)
    there = (path.resolve() for path in paths if path.name == file and path.is_file())
    return next((Place(path=told) for path in there if (told := _told(root, path))), None)


def _told(root: Path, path: Path) -> str:
    """The path from the top of the repository, of which `root` may be a folder; empty for a file that is not of it."""
    root = root.resolve()
    top = next((each for each in (root, *root.parents) if (each / ".git").exists()), root)
    if path.is_relative_to(root / OWN) or not path.is_relative_to(top):
        return ""
    return Path(os.path.relpath(path, top)).as_posix()
