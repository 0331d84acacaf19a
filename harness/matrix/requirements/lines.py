"""The lines of a requirements file, as pip and uv read them: what each asks for, and nothing resolved."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement

from harness.bench.errors import UsageError
from harness.matrix.credentials import without_credentials

INDEX_OPTIONS = {
    "-i": "--index-url",
    "--index-url": "--index-url",
    "--pypi-url": "--index-url",
    "--extra-index-url": "--extra-index-url",
    "-f": "--find-links",
    "--find-links": "--find-links",
    "--no-index": "--no-index",
    "--no-binary": "--no-binary",
    "--only-binary": "--only-binary",
}
"""Where packages come from: spelling to the name that locks have."""

_WITHOUT_VALUE = {"--no-index", "--pre", "--prefer-binary", "--require-hashes", "--use-pep517"}
_PASSED_OVER = {"--prefer-binary", "--require-hashes", "--use-pep517", "--trusted-host", "--use-feature"}
"""What says how pip goes about it, and not what is wanted; uv checks every hash that is there."""

_INCLUDES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
_EDITABLE = {"-e", "--editable"}
_WITH_VALUE = {*_INCLUDES, *_EDITABLE, *INDEX_OPTIONS} - _WITHOUT_VALUE
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_HASH = re.compile(r"--hash[= ](?P<hash>\S+)")
_EXTRAS = re.compile(r"^(?P<target>.*?)(?P<extras>\[[\w\s,.-]+\])?$")


@dataclass(frozen=True)
class Wanted:
    """A requirement by its name, and the hashes that are asked for with it."""

    requirement: Requirement
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Direct:
    """A folder, a file or an address in the place of a name; `target` is as it is written, without its extras.

    `marker` says when it is asked for; empty for always.
    """

    target: str
    extras: str = ""
    editable: bool = False
    hashes: tuple[str, ...] = ()
    marker: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return not re.match(r"(?:\w+\+)?\w+://", self.target) or self.target.startswith("file:")

    def path(self, *beside: Path) -> Path:
        """Where a local one is: relative to the first of the folders `beside` that has it, else to the last."""
        given = Path(unquote(urlsplit(self.target).path)) if self.target.startswith("file:") else Path(self.target)
        found = (folder / given for folder in beside)
        return next((path for path in found if path.exists()), beside[-1] / given).resolve()


@dataclass(frozen=True)
class Option:
    """Where packages come from; `name` is one of the values of `INDEX_OPTIONS`, or `--pre`."""

    name: str
    value: str = ""

    def __str__(self) -> str:
        """As a requirements file has it."""
        return f"{self.name} {self.value}".rstrip()


@dataclass(frozen=True)
class Include:
    """Another file: `kind` is `-r` or `-c`."""

    kind: str
    file: str


Line = Wanted | Direct | Option | Include


def parse_lines(text: str, *, where: str) -> Iterator[tuple[int, Line]]:
    """Each line of a requirements file that says something, with its number.

    Raises `UsageError` with file, line and what to write for what is neither a requirement nor an option known here.
    """
    for number, content in _logical(text):
        try:
            line = _line(content)
        except (InvalidRequirement, InvalidMarker, ValueError) as error:
            explained = isinstance(error, (InvalidRequirement, InvalidMarker))
            told = f" ({without_credentials(str(error))})" if explained else ""
            shown = without_credentials(content)
            msg = f"{where}, line {number}: {shown!r} is no requirement{told}. Write it like `torch==2.1.0`."
            raise UsageError(msg) from None
        if line is None:
            continue
        if isinstance(line, str):
            if line in _WITH_VALUE:
                msg = f"{where}, line {number}: the option {line!r} needs a value, after a space or a `=`."
                raise UsageError(msg)
            if line == "--no-deps":
                msg = (
                    f"{where}, line {number}: '--no-deps' leaves out what packages need, and nothing could be imported "
                    "then. Take it away: what is locked with hashes keeps its versions all the same."
                )
                raise UsageError(msg)
            shown = without_credentials(line)
            msg = f"{where}, line {number}: the option {shown!r} is not known. Take it away, or give it to uv by UV_…."
            raise UsageError(msg)
        yield number, line


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, those that a backslash continues put together."""
    begin, parts = 0, list[str]()
    for number, physical in enumerate(text.splitlines(), start=1):
        begin = begin if parts else number
        if physical.rstrip().endswith("\\") and not physical.lstrip().startswith("#"):
            parts.append(physical.rstrip()[:-1])
            continue
        content = _COMMENT.sub("", " ".join([*parts, physical])).strip()
        parts = []
        if content:
            yield begin, content
    if content := " ".join(parts).strip():
        yield begin, content


def _line(content: str) -> Line | str | None:
    """What a line asks for; None for what is passed over, and the name of an option that is not known."""
    if content.startswith("-"):
        return _option(content)
    hashes = tuple(match["hash"] for match in _HASH.finditer(content))
    content = _HASH.sub("", content).strip()
    if " --" in content:
        return content[content.index(" --") + 1 :].split()[0].split("=")[0]
    if _is_direct(content):
        return _direct(content, hashes=hashes)
    return Wanted(Requirement(content), hashes)


def _option(content: str) -> Line | str | None:
    name, _, value = re.sub(r"^(-[ircfe])(?=[^\s=-])", r"\1 ", content).partition(" ")
    if "=" in name:
        name, _, value = content.partition("=")
    value = value.strip()
    found: Line | str | None = name
    if name in _PASSED_OVER:
        found = None
    elif name in _INCLUDES and value:
        found = Include(_INCLUDES[name], " ".join(shlex.split(value)))
    elif name in _EDITABLE and value:
        found = _direct(value, editable=True)
    elif name == "--pre":
        found = Option("--pre")
    elif name in INDEX_OPTIONS and (value or name in _WITHOUT_VALUE):
        found = Option(INDEX_OPTIONS[name], value)
    return found


def _is_direct(content: str) -> bool:
    bare = content.split(" ;", maxsplit=1)[0]
    if " @ " in bare or re.match(r"[\w.-]+(?:\[[^\]]*\])?\s*@\s*\S", bare):
        return False
    archive = bare.endswith((".whl", ".tar.gz", ".zip")) and not any(sign in bare for sign in "=<>~")
    return "://" in bare or bare.startswith((".", "/", "file:")) or "/" in bare or archive


def _direct(content: str, *, editable: bool = False, hashes: tuple[str, ...] = ()) -> Direct:
    place, _, condition = content.partition(" ;")
    match = _EXTRAS.match(place.strip())
    assert match is not None
    target = match["target"]
    marker = str(Marker(condition)) if condition.strip() else ""
    return Direct(target, match["extras"] or "", editable and "git+" not in target, hashes, marker)
