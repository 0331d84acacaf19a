"""`matrices/expectations.toml`: known outcomes, read strictly, and added to without touching what is there."""

from __future__ import annotations

import datetime
import difflib
import json
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.bench.errors import UsageError
from harness.bench.places import MATRICES
from harness.bench.stages import Outcome, Stage

FILE = Path(MATRICES, "expectations.toml")
TODO = "TODO"
"""Begins a reason that nobody has given yet; such an entry is refused."""

HEADER = """\
# Known outcomes: broken cells that `harness show`, `harness run` and `harness expect --check` count as expected.
# They quiet no gate. `harness expect --write` adds proposals; docs/gating.md has every key.
"""

_CELL_PARTS = 3


class Entry(BaseModel):
    """`[[expect]]`: the outcome of some cells, why it is so, and until when that is believed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cells: list[str] = []
    models: list[str] = []
    strategies: list[str] = []
    devices: list[Literal["cpu", "cuda"]] = []
    versions: dict[str, str] = {}
    tier: Literal["quick", "core", "full"] = "quick"
    outcome: Literal["failed", "mismatched", "crashed", "timed-out", "out-of-memory", "unresolvable"]
    stage: str = ""
    fingerprint: str = ""
    reason: str = Field(min_length=1)
    link: str = Field(default="", pattern="^(https?://.*)?$")
    expires: datetime.date

    @field_validator("cells")
    @classmethod
    def _has_three_parts(cls, value: list[str]) -> list[str]:
        for glob in value:
            parts = glob.split("/")
            if len(parts) != _CELL_PARTS or not all(parts):
                msg = f"{glob!r} is no cell; write COMBINATION/MODEL/STRATEGY, each of them with * where any will do"
                raise ValueError(msg)
        return value

    @field_validator("versions")
    @classmethod
    def _has_ranges(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            try:
                given = bool(SpecifierSet(text))
            except InvalidSpecifier:
                given = False
            if not given:
                msg = f"{name} = {text!r} is no range of versions; write one such as '==2.1.0' or '>=2.1,<2.1.1'"
                raise ValueError(msg)
        return {str(canonicalize_name(name)): text for name, text in value.items()}

    @field_validator("stage")
    @classmethod
    def _is_a_stage(cls, value: str) -> str:
        if value and value not in [each.value for each in Stage]:
            msg = f"{value!r} is no stage; there are: {', '.join(each.value for each in Stage)}"
            raise ValueError(msg)
        return value

    @field_validator("reason")
    @classmethod
    def _is_given(cls, value: str) -> str:
        if not value.strip() or value.lstrip().upper().startswith(TODO):
            msg = "says nothing yet; write why this is so, or take the entry out"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _is_of_some_cells(self) -> Entry:
        if not (self.cells or self.models or self.strategies):
            msg = "names no cells: give it cells, models or strategies"
            raise ValueError(msg)
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    expect: list[Entry] = []


def parse(text: str, *, where: str) -> tuple[Entry, ...]:
    """The entries of a file's text, in order.

    Raises `UsageError` with the path to each wrong key.
    """
    try:
        return tuple(_File.model_validate(tomllib.loads(text)).expect)
    except tomllib.TOMLDecodeError as error:
        msg = f"{where}: not valid TOML: {error}."
        raise UsageError(msg) from None
    except ValidationError as error:
        lines = [f"{where}: {_told(tuple(map(str, e['loc'])), e['type'], e['msg'])}" for e in error.errors()]
        raise UsageError("\n".join(lines)) from None


def _told(path: tuple[str, ...], kind: str, message: str) -> str:
    where = ".".join(path)
    if kind != "extra_forbidden":
        return f"'{where}': {message.removeprefix('Value error, ')}."
    keys = list((Entry if len(path) > 1 else _File).model_fields)
    near = difflib.get_close_matches(path[-1], keys, n=1, cutoff=0.5)
    return f"'{where}': no such key. " + (f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(keys)}.")


def path_of(root: Path, given: Path | None) -> Path | None:
    """The file of a command: the one that it names, else the repository's; None in a repository without."""
    if given is not None and not given.is_file():
        msg = f"{given}: no such file of expectations."
        raise UsageError(msg)
    return given or (root / FILE if (root / FILE).is_file() else None)


def read(path: Path) -> tuple[Entry, ...]:
    """The entries of the file `path`. Raises `UsageError` where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read as UTF-8 text ({error})."
        raise UsageError(msg) from None
    return parse(text, where=path.name)


def name_of(path: Path, number: int) -> str:
    """What an entry is called, as the messages about wrong keys count them: `expect.0 of expectations.toml`."""
    return f"expect.{number} of {path.name}"


def append(path: Path, text: str) -> None:
    """Add entries, as text, at the end of a file, of which every byte is kept; a new one begins with its header."""
    before = path.read_text(encoding="utf-8") if path.is_file() else HEADER
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(before + ("" if before.endswith("\n") else "\n") + "\n" + text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def entry_text(
    *,
    cells: Iterable[str],
    device: str,
    versions: dict[str, str],
    tier: str,
    outcome: Outcome,
    stage: Stage,
    fingerprint: str,
    reason: str,
    link: str,
    expires: datetime.date,
    comment: str = "",
) -> str:
    """One entry as TOML, with the line `comment` above it. An empty `reason` is one that a person has to give."""
    cells = list(cells)
    listed = [f"cells = [{', '.join(map(_quoted, cells))}]"]
    if len(cells) > 1:
        listed = ["cells = [", *(f"  {_quoted(cell)}," for cell in cells), "]"]
    ranges = ", ".join(f"{name} = {_quoted(text)}" for name, text in sorted(versions.items()))
    lines = [f"# {comment}" if comment else "", "[[expect]]", *listed, f"devices = [{_quoted(device)}]"]
    lines += [f"versions = {{ {ranges} }}" if versions else "", f"tier = {_quoted(tier)}" if tier != "quick" else ""]
    lines += [f"outcome = {_quoted(outcome.value)}", f"stage = {_quoted(stage.value)}"]
    lines += [f"fingerprint = {_quoted(fingerprint)}" if fingerprint else "", f"reason = {_quoted(reason or TODO)}"]
    lines += [f"link = {_quoted(link)}" if link else "", f"expires = {expires.isoformat()}"]
    return "\n".join(line for line in lines if line) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON; DEL is the one character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
