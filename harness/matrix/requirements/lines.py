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

_PASSED_OVER = {"--prefer-binary": 0, "--require-hashes": 0, "--use-pep517": 0, "--trusted-host": 1, "--use-feature": 1}
"""What says how pip goes about it, and not what is wanted, and how many values it has; uv checks every hash."""

_INCLUDES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
_EDITABLE = {"-e", "--editable"}
_ATTACHED = re.compile(r"(?:(?<=\s)|^)(-[ircfe])(?=[^\s=-])")
_BEFORE_EDITABLE = re.compile(r"(?:(?<=\s)|^)(?=(?:-e|--editable)(?:[\s=]|$))")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_QUOTED = re.compile(r"^([\"'])(.*?)\1")
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

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder on this machine, where its place is absolute."""
        return self.is_local and Path(self.target).is_dir()

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
            lines = list(_lines(content))
        except (InvalidRequirement, InvalidMarker, ValueError) as error:
            explained = isinstance(error, (InvalidRequirement, InvalidMarker))
            told = f" ({without_credentials(str(error))})" if explained else ""
            shown = without_credentials(content)
            msg = f"{where}, line {number}: {shown!r} is no requirement{told}. Write it like `torch==2.1.0`."
            raise UsageError(msg) from None
        except _OptionError as error:
            msg = f"{where}, line {number}: {error}"
            raise UsageError(msg) from None
        for line in lines:
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


class _OptionError(Exception):
    """What is wrong with the options of a line, and what to do."""


def _lines(content: str) -> Iterator[Line]:
    """What a line asks for; nothing for what is passed over. There may be several options on it."""
    if content.startswith("-"):
        yield from _options(content)
        return
    hashes = tuple(match["hash"] for match in _HASH.finditer(content))
    content = _HASH.sub("", content).strip()
    _refuse_options(content)
    yield _direct(content, hashes=hashes) if _is_direct(content) else Wanted(Requirement(content), hashes)


def _options(content: str) -> Iterator[Line]:
    """The options of a line, each with its values; the rest of the line is one of an editable requirement."""
    spaced = _ATTACHED.sub(r"\1 ", content)
    before, *editable = _BEFORE_EDITABLE.split(spaced, maxsplit=1)
    words = shlex.split(before)
    while words:
        name, sign, value = words.pop(0).partition("=")
        if not name.startswith("-"):
            told = without_credentials(name + sign + value)
            msg = f"{told!r} belongs to no option before it. Write it on a line of its own."
            raise _OptionError(msg)
        values = [value] if sign else []
        while words and not words[0].startswith("-") and _takes_more(name, values):
            values.append(words.pop(0))
        yield from _option(name, values)
    if editable:
        name, value = re.split(r"[\s=]|$", editable[0], maxsplit=1)
        value = _QUOTED.sub(r"\2", value.strip())
        if not value:
            raise _without_value(name)
        _refuse_options(value)
        yield _direct(value, editable=True)


def _takes_more(name: str, values: list[str]) -> bool:
    """Whether the next word belongs to an option that has these already: the path of an included file has spaces."""
    if name in _INCLUDES:
        return True
    count = _PASSED_OVER.get(name, 0 if name == "--no-index" or name not in INDEX_OPTIONS else 1)
    return len(values) < count


def _option(name: str, values: list[str]) -> Iterator[Line]:
    value = " ".join(values)
    if name in _PASSED_OVER:
        return
    if name == "--pre":
        yield Option("--pre")
    elif name in _INCLUDES:
        if not value:
            raise _without_value(name)
        yield Include(_INCLUDES[name], value)
    elif name in INDEX_OPTIONS:
        if not value and name != "--no-index":
            raise _without_value(name)
        yield Option(INDEX_OPTIONS[name], value)
    else:
        raise _unknown(name)


def _refuse_options(content: str) -> None:
    """Raise `_OptionError` where an option follows a requirement on its line."""
    if " --" in content:
        raise _unknown(re.split(r"[\s=]", content[content.index(" --") + 1 :], maxsplit=1)[0])


def _without_value(name: str) -> _OptionError:
    return _OptionError(f"the option {name!r} needs a value, after a space or a `=`.")


def _unknown(name: str) -> _OptionError:
    if name == "--no-deps":
        return _OptionError(
            "'--no-deps' leaves out what packages need, and nothing could be imported then. Take it away: what is "
            "locked with hashes keeps its versions all the same."
        )
    shown = without_credentials(name)
    return _OptionError(f"the option {shown!r} is not known. Take it away, or give it to uv by UV_….")


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
