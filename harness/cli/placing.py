"""Where in the repository packages are asked for and models are, so that what is told of them can point there."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from packaging.utils import canonicalize_name

from harness.bench.errors import UsageError
from harness.bench.series import values_of
from harness.matrix import combination as combinations
from harness.matrix.places import OWN
from harness.report.outlets.facts import Place, Places
from harness.tables.schema import Run

_NAMED = re.compile(r"""\s*["']?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?=[\[<>=!~;@,"'#]|$)""")
_ZOO = "model_zoo"


def places_of(root: Path, *runs: Run, models: Iterable[str] = ()) -> Places:
    """The lines of the first of `runs` whose requirements are a file of the repository, and the files of `models`.

    A candidate that the harness made lies in no repository: there the base is what was moved.
    """
    found: dict[str, Place] = {}
    for run in runs:
        found = found or pins_in(root, run.combination, {*run.pins})
    files = {name: place for name in models for run in runs[:1] if (place := _model(root, run, name))}
    return Places(pins=found, models=files)


def pins_in(root: Path, combination: str, names: Collection[str]) -> dict[str, Place]:
    """The lines of the file of a combination that ask for packages of these names."""
    try:
        path = (root / combinations.read(root, combination).path).resolve()
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UsageError, OSError, UnicodeDecodeError):
        return {}
    told = _told(root, path)
    found: dict[str, Place] = {}
    for number, line in enumerate(lines if told else (), start=1):
        named = _NAMED.match(line)
        if named and (name := canonicalize_name(named["name"])) in names:
            found.setdefault(name, Place(path=told, line=number))
    return found


def _model(root: Path, run: Run, name: str) -> Place | None:
    """The file of a model: of the zoo, or of the files and folders that the run was given."""
    file = f"{name.removeprefix('own:').replace('-', '_')}.py"
    paths = [root / _ZOO / file]
    for value in values_of(run.models):
        paths.insert(0, root / value if value.endswith(".py") else root / value / file)
    there = (path.resolve() for path in paths if path.name == file and path.is_file())
    return next((Place(path=told) for path in there if (told := _told(root, path))), None)


def _told(root: Path, path: Path) -> str:
    """The path from the root; empty for a file that is not of the repository."""
    relative = os.path.relpath(path, root.resolve())
    return "" if relative.startswith((os.pardir, OWN)) else Path(relative).as_posix()
