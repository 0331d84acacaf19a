"""`harness init`: the files that a repository of one's own begins with. What is there is never touched."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from harness.bench.errors import UsageError
from harness.bench.places import MATRICES
from harness.matrix import combination as combinations
from harness.matrix import locks, template
from harness.matrix.places import REFERENCE
from harness.matrix.starting.pins import Pins, found_in
from harness.matrix.starting.source import UNKNOWN, installed_from

NAME = "current"
"""What the combination of a repository's own pins is called: it lasts while its pins move."""

WORKFLOW = Path(".github/workflows/conversions.yml")
_RENOVATE = (
    *("renovate.json", "renovate.json5", ".renovaterc", ".renovaterc.json", ".renovaterc.json5"),
    *(".github/renovate.json", ".github/renovate.json5", ".gitlab/renovate.json", ".gitlab/renovate.json5"),
)
_BASE = ".base"
"""Where the workflow has the target branch: hidden, so that no tool takes it for a package beside the others."""

_DEPENDABOT = (".github/dependabot.yml", ".github/dependabot.yaml")


@dataclass(frozen=True, kw_only=True)
class Made:
    """One thing that a repository begins with: the file, what it is, and whether it was there already."""

    path: Path
    told: str
    left_alone: bool = False


@dataclass(frozen=True, kw_only=True)
class Start:
    """What was laid out. `combination` is of the repository's pins; `locked` says whether it has a lock.

    `notes` are what a person should know.
    """

    made: tuple[Made, ...]
    combination: str
    locked: bool
    notes: tuple[str, ...] = ()


def lay_out(root: Path, *, reference: str = "") -> Start:
    """Write what `root` lacks: a model, a combination, a workflow, and the settings of the bots that move pins.

    The combination is of the pins in the repository's own requirements, or a copy of `reference`, one that comes with
    the harness; where there are neither, of the newest of these. Raises `UsageError` where there is no such one.
    """
    if reference:
        _check_reference(reference)
    pins = found_in(root)
    model = _model(root)
    combination, name = _combination(root, reference, pins)
    rest = (
        workflow := _workflow(root, name, pins),
        _file(root, _RENOVATE[0], _RENOVATE, "renovate.json", "has Renovate move the pins"),
        _file(root, _DEPENDABOT[0], _DEPENDABOT, "dependabot.yml", "has Dependabot do so; keep one of the two"),
    )
    locked = locks.lock_path(root, name).exists() or locks.reason_path(root, name).exists()
    notes = [*pins.passed_over]
    if not workflow.left_alone and UNKNOWN in (root / workflow.path).read_text(encoding="utf-8"):
        notes.append(
            f"{workflow.path}: put the repository that has the harness, and a commit of it, in the place of OWNER and "
            "SHA in HARNESS: it was not installed from anywhere that GitHub reaches."
        )
    return Start(made=(model, *combination, *rest), combination=name, locked=locked, notes=tuple(notes))


def _check_reference(reference: str) -> None:
    known = [name for name in combinations.names(REFERENCE.parent) if combinations.EXTENDS not in name]
    if reference not in known:
        msg = f"--from {reference}: the harness comes with {', '.join(known)}."
        raise UsageError(msg)


def _model(root: Path) -> Made:
    there = next(iter(sorted((root / "models").glob("*.py"))), None)
    if there is not None:
        return Made(path=there.relative_to(root), told="a model", left_alone=True)
    path = template.write("example", root / "models").relative_to(root)
    return Made(path=path, told="a model to start from; it runs as it is")


def _combination(root: Path, reference: str, pins: Pins) -> tuple[list[Made], str]:
    """The combination of the repository, what is written for it, and its name."""
    own = combinations.own_names(root)
    if reference:
        if reference in own:
            return [_left(root, reference)], reference
        return _copied(root, reference), reference
    if own:
        return [_left(root, name) for name in own], own[0]
    if not pins.lines:
        newest = max(combinations.own_names(REFERENCE.parent), key=_version)
        return _copied(root, newest), newest
    path = Path(MATRICES, f"{NAME}.in")
    _write(root / path, _text(pins))
    return [Made(path=path, told=f"{', '.join(pins.names)} as {' and '.join(pins.files)} has them")], NAME


def _left(root: Path, name: str) -> Made:
    return Made(path=(combinations.folder_of(root, name) / f"{name}.in").relative_to(root), told="", left_alone=True)


def _version(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]+", name)]


def _copied(root: Path, reference: str) -> list[Made]:
    """A combination that comes with the harness and its extensions, with their locks."""
    made = []
    for name in [reference, *(f"{reference}+{each}" for each in combinations.extensions(REFERENCE.parent, reference))]:
        lock, reason = locks.lock_path(REFERENCE.parent, name), locks.reason_path(REFERENCE.parent, name)
        for source in (REFERENCE / f"{name}.in", lock, reason):
            target = root / MATRICES / source.relative_to(REFERENCE)
            if source.exists() and not target.exists():
                _write(target, source.read_text(encoding="utf-8"))
        made.append(Made(path=Path(MATRICES, f"{name}.in"), told="as it comes with the harness, and its lock"))
    return made


def _text(pins: Pins) -> str:
    head = (f"# python: {pins.python}", f"# From {', '.join(pins.files)}.")
    return "\n".join([*head, *pins.options, *pins.lines, ""])


def _workflow(root: Path, name: str, pins: Pins) -> Made:
    """The gate on pull requests: of the requirements that the pins are from, else of the combination."""
    place, others = str(WORKFLOW), (str(WORKFLOW),)
    if name != NAME or not pins.lines:
        told = f"runs {name} and the gate on pull requests"
        return _file(root, place, others, "workflow.yml", told, {"COMBINATION": name})
    filled = {
        "WATCHED": json.dumps(pins.watched),
        "FILE": pins.file,
        "BASE": shlex.quote(f"{_BASE}/{pins.given}"),
        "CANDIDATE": shlex.quote(pins.given),
    }
    told = f"runs the gate on pull requests that change {pins.file}"
    return _file(root, place, others, "requirements.yml", told, filled)


def _file(
    root: Path, name: str, others: tuple[str, ...], source: str, told: str, filled: Mapping[str, str] | None = None
) -> Made:
    """A file of the harness's own for a bot, unless there is one of its kind."""
    there = next((other for other in others if (root / other).exists()), None)
    if there is not None:
        return Made(path=Path(there), told=told, left_alone=True)
    text = resources.files(__name__).joinpath(source).read_text(encoding="utf-8")
    for key, value in {"HARNESS": installed_from(), **(filled or {})}.items():
        text = text.replace(f"@{key}@", value)
    _write(root / name, text)
    return Made(path=Path(name), told=told)


def _write(path: Path, text: str) -> None:
    """Write beside and rename: nobody finds half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def lines(start: Start) -> Iterator[str]:
    """What a person is told of it, and what to do next."""
    for made in start.made:
        yield f"{made.path}: {'there already, left alone' if made.left_alone else made.told}"
    yield from start.notes
    lock = "" if start.locked else f"`harness lock {start.combination}`, "
    yield f"Next: {lock}`harness run {start.combination} --models models`, and commit what was written."
