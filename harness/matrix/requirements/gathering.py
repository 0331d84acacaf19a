"""What the lines of a requirements file and of those that it includes ask for, gathered as they are read."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement

from harness.bench.errors import UsageError
from harness.matrix import tooling
from harness.matrix.credentials import without_credentials
from harness.matrix.requirements.lines import Direct, Include, Option, Wanted, parse_lines


@dataclass
class Gathered:
    """What the lines of a file and of those that it includes ask for, as it is read."""

    root: Path
    python: str
    wanted: list[Wanted] = field(default_factory=list)
    constraints: list[Wanted] = field(default_factory=list)
    directs: list[Direct] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    referred: list[Direct] = field(default_factory=list)
    """All of `directs`, those that are for another Python or machine too."""
    seen: set[tuple[Path, bool]] = field(default_factory=set)

    def file(self, path: Path, *, where: str, constraining: bool = False) -> str:
        """Read a file and what it includes; its text."""
        if (path, constraining) in self.seen:
            return ""
        self.seen.add((path, constraining))
        text = text_of(path, where)
        self.texts.append(("-c" if constraining else "-r", text))
        self.lines(text, folder=path.parent, where=where, constraining=constraining)
        return text

    def lines(self, text: str, *, folder: Path, where: str, constraining: bool = False) -> None:
        """Take up the lines of a text; what is relative there is so to `folder`, or to the root."""
        for number, line in parse_lines(text, where=where):
            if isinstance(line, Include):
                if "://" in line.file:
                    address = without_credentials(line.file)
                    msg = f"{where}, line {number}: {address}: what is elsewhere is not read. Download it, and name it."
                    raise UsageError(msg)
                nearest = next((p for p in (folder / line.file, self.root / line.file) if p.is_file()), None)
                if nearest is None:
                    msg = f"{where}, line {number}: {without_credentials(line.file)}: no such file. Correct the path."
                    raise UsageError(msg)
                self.file(nearest.resolve(), where=line.file, constraining=constraining or line.kind == "-c")
            elif isinstance(line, Option):
                self.options.append(_absolute(line, folder))
            elif isinstance(line, Wanted):
                self.named(line, folder, where=f"{where}, line {number}", constraining=constraining)
            elif constraining:
                self.notes.append(
                    f"{where}, line {number}: {without_credentials(line.target)} is passed over: "
                    "a folder, a file or an address bounds nothing"
                )
            else:
                self.direct(line, folder, where=f"{where}, line {number}")

    def named(self, line: Wanted, folder: Path, *, where: str, constraining: bool) -> None:
        """Take up a requirement by its name; one that has a place on this machine as well gets that in full."""
        asked = line.requirement
        if asked.url is None or not (place := Direct(asked.url)).is_local:
            (self.constraints if constraining else self.wanted).append(line)
            return
        path = place.path(folder, self.root)
        holds = asked.marker is None or (bool(self.python) and evaluated(asked.marker, self.python))
        if holds and not path.exists():
            told = without_credentials(asked.url)
            msg = f"{where}: {asked.name} @ {told}: no such file or folder. {_remedy(asked)}"
            raise UsageError(msg)
        if path.is_dir() and not constraining:
            extras = f"[{','.join(sorted(asked.extras))}]" if asked.extras else ""
            self.direct(Direct(asked.url, extras, marker=str(asked.marker or "")), folder, where=where)
            return
        self.referred.append(Direct(str(path), marker=str(asked.marker or "")))
        there = Requirement(str(asked))
        there.url = path.as_uri()
        (self.constraints if constraining else self.wanted).append(replace(line, requirement=there))

    def direct(self, line: Direct, folder: Path, *, where: str) -> None:
        """Take up a folder, a file or an address; one that is not asked for here need not be there."""
        path = line.path(folder, self.root) if line.is_local else None
        self.referred.append(replace(line, target=str(path)) if path else line)
        marker = Marker(line.marker) if line.marker else None
        if self.python and not evaluated(marker, self.python):
            return
        if path and not path.exists():
            if marker and not self.python:
                return
            msg = f"{where}: {line.target}: no such file or folder. Correct the path."
            raise UsageError(msg)
        # As it is written, editable or not: uv takes one package in one way only, whoever asks for it.
        self.directs.append(replace(line, target=str(path) if path else line.target, marker=""))

    def asked(self) -> dict[str, Any]:
        """What came together, each once, by the names that `Given` has for it."""
        names = ("wanted", "constraints", "directs", "options")
        return {name: tuple(dict.fromkeys(getattr(self, name))) for name in names}


def evaluated(marker: Marker | None, python: str) -> bool:
    """Whether a marker holds on this machine under `python`."""
    if marker is None:
        return True
    try:
        full = tooling.python_full_version(python)
        return marker.evaluate({"python_version": python, "python_full_version": full, "extra": ""})
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def _remedy(asked: Requirement) -> str:
    if str(asked.url).startswith("file:///"):
        return (
            "A `pip freeze` of a conda environment has such lines, which no other machine can read: write the file by "
            "`pip list --format=freeze`."
        )
    return "Correct the path."


def _absolute(option: Option, folder: Path) -> Option:
    """A folder of links by its whole path, so that it is found from anywhere."""
    if option.name != "--find-links" or "://" in option.value:
        return option
    return Option(option.name, str((folder / option.value).resolve()))


def text_of(path: Path, where: str) -> str:
    """A file's text. Raises `UsageError` where it is not UTF-8, or cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{where}: cannot be read as UTF-8 text ({error})."
        raise UsageError(msg) from None


def toml_of(text: str, where: str) -> dict[str, Any]:
    """What a TOML text says. Raises `UsageError` where it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{where}: not valid TOML: {error}."
        raise UsageError(msg) from None


def digest_of(texts: list[tuple[str, str]]) -> str:
    """A digest of texts, each with its kind."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
