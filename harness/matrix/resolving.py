"""What uv's words mean: a fact of the pins, wrong input, or infrastructure.

"No solution found" is its phrase for all three, so what follows decides. The samples in `tests/matrix/uv_says/` are
what uv 0.13 printed, each in the situation that its name tells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.bench.errors import (
    DiskFullError,
    HarnessError,
    IndexUnreachableError,
    NotWritableError,
    ToolBrokenError,
    UsageError,
)
from harness.bench.fingerprint import normalise_paths
from harness.matrix.credentials import without_credentials

NO_SOLUTION, NO_WHEEL, BUILD_FAILED = "NoSolution", "NoWheel", "BuildFailed"
"""The kinds of facts, as a table's `error_type` has them."""

_UNSATISFIABLE = "No solution found"
_BUILD = re.compile(r"^\s*(?:error: |cause: )?Failed to build `", re.MULTILINE)
_LONGEST = 4000
_LAST_LINES = 8

_DISK_FULL = re.compile(r"No space left on device|os error 28\b|\[Errno 28\]|Disk quota exceeded|os error 122\b")
_NOT_WRITABLE = re.compile(r"Read-only file system|Permission denied|os error (?:13|30)\b|\[Errno (?:13|30)\]")
_GONE = re.compile(r"HTTP status client error \((?:404|410)\b")
_NOT_HERE = re.compile(r"Distribution not found at: ")
_WRONG_HASH = re.compile(r"Hash mismatch for `(?P<package>[^`]+)`")
_UNREACHABLE = re.compile(
    r"network was disabled|was not found in the cache|403 Forbidden|401 Unauthorized|error sending request"
    r"|operation timed out|client error|dns error|invalid peer certificate|HTTP status \w+ error|Failed to fetch"
    r"|Failed to download|Request failed after|Failed to read from the distribution cache"
)
_KILLED = re.compile(r"\(signal: \d+")
_NO_WHEEL = re.compile(r"has no (?:usable )?wheels|no wheels with a matching")
_ABSENT = re.compile(
    # Only what a person asked for: a package that asks for what is not there is a fact of the pins.
    r"(?P<name>\S+) was not found in the (?:package registry|provided package locations) and you require "
    r"(?P=name)(?![\w.-])"
    r"|there (?:is no version|are no versions) of (?P<spec>\S+) and you require (?P=spec)(?![\w.])"
    r"|only (?:the following versions of )?(?P<other>[\w.-]+)[^:]*? (?:is|are) available(?::.*?)? and you require "
    r"(?P<range>(?P=other)[^\w.-]\S*)",
    re.DOTALL,
)
_OUTPUT_OF_BUILD = re.compile(r"\[std(?:out|err)\].*?(?=^\S|\Z)", re.DOTALL | re.MULTILINE)
_NO_PYTHON = re.compile(r"No interpreter found for (?P<python>[^`\n]*?) in ")
_UNREADABLE = re.compile(r"Couldn't parse requirement|Invalid hash|Unsupported hash|for tox env \S+ within deps")
_ADDRESS = re.compile(r"\b(?!file:)\w+://[^\s)`'\",]+")
_FILE = re.compile(r"\bfile:(?://)?/(?:[^\s/`'\":]+/)*")
# Folders of this machine, of which many have a random name; the file's own name tells.
_FOLDERS = re.compile(r"(?<![\w<>./~-])/(?:[^\s/`'\":]+/)+")


@dataclass(frozen=True)
class Fact:
    """The pins are to blame: `kind` is one of `NO_SOLUTION`, `NO_WHEEL`, `BUILD_FAILED`; `reason` is uv's, harmless."""

    kind: str
    reason: str


class AbsentError(UsageError):
    """The package index does not have what a person asked for: `requirement` is that, as uv spells it."""

    def __init__(self, requirement: str, doing: str) -> None:
        self.requirement = requirement
        super().__init__(
            f"{doing}: {requirement} is asked for, and the package index does not have it. Correct the name or the "
            "version, or name the index that has it (UV_DEFAULT_INDEX, UV_INDEX)."
        )


def understand(text: str, doing: str) -> Fact:
    """The fact of the pins in what uv printed when it failed at `doing` (such as "resolving matrices/torch2.0.in").

    Raises `AbsentError` or `UsageError` for wrong input, and a class of `InfrastructureError` for all else: what is not
    known to be the pins' fault is no result.
    """
    # What comes before is progress and warnings, such as that some Python could not be downloaded for builds.
    said = _message(text)
    reason = _told(said)
    own = _OUTPUT_OF_BUILD.sub("", said)
    error = _infrastructure(said, own, doing, reason)
    if error is not None:
        raise error
    if wrong := _WRONG_HASH.search(own):
        msg = (
            f"{doing}: the package index has another {wrong['package']} than the lock: their hashes differ. If the "
            "lock was edited, make it anew with `harness lock`; if not, do not trust that index."
        )
        raise UsageError(msg)
    if _UNREADABLE.search(own):
        told = _brief(own, _UNREADABLE)
        msg = f"{doing}: a line of the lock or the combination cannot be read ({told}). Make the lock anew."
        raise UsageError(msg)
    if missing := _NO_PYTHON.search(own):
        msg = f"{doing}: there is no {missing['python']} on this machine, nor to be had by uv. Install it."
        raise UsageError(msg)
    if _NOT_HERE.search(own):
        msg = f"{doing}: no such file or folder on this machine ({_brief(own, _NOT_HERE)}). Correct the path."
        raise UsageError(msg)
    if _GONE.search(own):
        msg = f"{doing}: a file that is asked for is not there any more ({_brief(own, _GONE)}). Ask for another."
        raise UsageError(msg)
    if _BUILD.search(own):
        return Fact(BUILD_FAILED, reason)
    if _UNSATISFIABLE in own:
        if absent := _ABSENT.search(" ".join(own.split())):
            raise AbsentError((absent["name"] or absent["spec"] or absent["range"]).rstrip(",."), doing)
        return Fact(kind_of(own), reason)
    msg = f"{doing} failed: {reason or 'nothing was said'}."
    raise ToolBrokenError(msg)


def kind_of(reason: str) -> str:
    """The kind of a fact, from its reason alone: a lock that has no solution keeps only that."""
    if _BUILD.search(reason):
        return BUILD_FAILED
    return NO_WHEEL if _NO_WHEEL.search(reason) else NO_SOLUTION


def _infrastructure(said: str, own: str, doing: str, reason: str) -> HarnessError | None:
    """The error that is no result; `own` is what uv and tox say themselves, without the output of a build."""
    if _DISK_FULL.search(said):  # of a build as well
        return DiskFullError(f"{doing}: no space is left on a disk ({_brief(said, _DISK_FULL)}).")
    if _UNREACHABLE.search(own) and not _GONE.search(own) and not _WRONG_HASH.search(own):
        return IndexUnreachableError(f"{doing}: the package index could not be reached ({_brief(own, _UNREACHABLE)}).")
    if _NOT_WRITABLE.search(own):
        return NotWritableError(f"{doing}: a folder may not be written to ({_brief(own, _NOT_WRITABLE)}).")
    if _KILLED.search(own):
        return ToolBrokenError(f"{doing}: a build was killed ({reason}).")
    return None


def _message(text: str) -> str:
    """The last error of uv to its end, or the last lines where there is none."""
    lines = text.replace("\x1b[31m", "").replace("\x1b[39m", "").splitlines()
    begin = max((i for i, line in enumerate(lines) if line.startswith("error: ")), default=None)
    if begin is None:
        return "\n".join([line for line in lines if line.strip()][-_LAST_LINES:])
    # tox goes on with how the command ended.
    end = next((i for i in range(begin, len(lines)) if re.match(r"\S+: exit -?\d+ \(", lines[i])), len(lines))
    return "\n".join(lines[begin:end])


def _told(said: str) -> str:
    """For a table or a person: no address, no path of this machine."""
    text = _ADDRESS.sub("the package index", without_credentials(normalise_paths(said)))
    text = _FOLDERS.sub("…/", _FILE.sub("…/", text))
    text = text.removeprefix("error: ").strip()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"


def _brief(said: str, pattern: re.Pattern[str]) -> str:
    """The line that tells most: the last that the pattern is found in, or uv's last cause, which is the deepest."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    fitting = [line for line in lines if pattern.search(line)]
    if not fitting or fitting[-1].startswith(("error: ", "cause: ")):
        fitting = [line for line in lines if line.startswith("cause: ")] or fitting
    line = (fitting or lines or [""])[-1]
    return _told(line.removeprefix("error: ").removeprefix("cause: ").removeprefix("hint: ")).rstrip(".")
