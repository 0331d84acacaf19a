"""Imports files that declare something, where they can do no harm, and tells what they declare.

This is a child (`main`), and what starts and watches it as it would any other (`described`). One process imports one
file after the other. Where it dies or hangs, the file that it was at is told as what it is, and another process goes
on with the next; one that dies at a file that was not its first may have died of an earlier one (a timer, a thread, a
limit), and so that file is tried once more, before any other.

Each line of ``described.jsonl`` is ``{"index": i}`` before file i, and after it ``{"index": i, "card": …}``,
``{"error": …, "where": …, "hint": …}`` (it raised: a result of its cells, or a mistake of a user's) or
``{"refused": …}`` (it is no such file, or would end whoever imports it).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench import own_code
from harness.bench.cards import KINDS, card_of, from_json, to_json
from harness.bench.errors import BenchBrokenError, UsageError
from harness.bench.explaining import hint_of
from harness.bench.failure import infrastructure_of
from harness.bench.group import end_leftovers
from harness.bench.logs import LOG_FILE, UnreadableError, read_end, tail
from harness.bench.processes import Ended, Limits, child_environ, start, watch
from harness.bench.progress import Progress, cut, read_trail
from harness.bench.requests import DescribeRequest
from harness.bench.signals import raise_on_termination
from harness.bench.stages import Outcome

DESCRIBED_FILE = "described.jsonl"
MOST_S = 60.0
"""How long a file may take to be imported, whatever longer time a policy gives to a cell."""

MOST_MB = 4096.0
"""Resident memory that importing all files may take, in MiB: five times what torch and TensorFlow take together."""

_BEGIN_S = 30.0
"""How long the process may take to come to its first file, which is none of that file's time."""

_LARGEST = 64 * 2**20
_LONGEST_ERROR = 2000
_ANSWERS = ({"refused"}, {"error", "where", "hint"})
_GUIDE = "A file must be importable at any time, without side effects: move what it does into functions."


def described(
    files: Sequence[tuple[str, Path]], *, paths: Sequence[Path] = (), timeout_s: float = MOST_S
) -> list[dict[str, Any]]:
    """What each of `files` (kind and path) declares, in order: a dict with one of `card`, `error` and `refused`.

    Beside an `error` are `where` (``FILE:LINE``, empty where it is in no file of a user's) and `hint` (what to do).
    `paths` are folders that the files may import from. Each may take `timeout_s` seconds, and `MOST_S` at most. Nothing
    that a file started is left. Raises `InfrastructureError` where the machine is to blame, and `OSError` where no
    temporary folder can be made.
    """
    found: list[dict[str, Any]] = []
    with (
        raise_on_termination(),
        tempfile.TemporaryDirectory(prefix="harness-describe-", ignore_cleanup_errors=True) as name,
    ):
        while len(found) < len(files):
            found += _round(Path(name).absolute(), files[len(found) :], paths, min(timeout_s, MOST_S))
    return found


def _round(
    scratch: Path, files: Sequence[tuple[str, Path]], paths: Sequence[Path], timeout_s: float
) -> list[dict[str, Any]]:
    """Describe as many of `files`, from the first on, as one process comes to: one at least."""
    done = _watched(scratch, files, paths, timeout_s)
    told = list(done.told)
    if len(told) == len(files):
        return told
    if not told and len(files) > 1 and (done.problem or not done.begun):
        return _round(
            scratch, files[:1], paths, timeout_s
        )  # what was told is lost: one at a time, until it is clear by whom
    path = files[len(told)][1]
    if done.problem:
        return [*told, {"refused": f"{path}: importing it {done.problem}. {_GUIDE}"}]
    if done.begun and (done.too_long or not told):
        return [*told, {"refused": f"{path}: importing it {done.how}. {_GUIDE}"}]
    if told:
        return told  # whatever it was, the file that comes next is the first of its process now
    if _watched(scratch, (), (), timeout_s).passed:  # nothing is wrong but with this file
        return [{"refused": f"{path}: importing it {done.how}, and removes what is told of it. {_GUIDE}"}]
    msg = f"models and strategies could not be read: what imports them {done.how}.\n{done.printed}\n"
    raise BenchBrokenError(msg)


@dataclass(frozen=True)
class _Done:
    """What a process told of its first files, and how it ended.

    `begun` says whether it had begun with the next, `problem` what is wrong with what was told of that one.
    """

    told: Sequence[dict[str, Any]]
    begun: bool
    problem: str
    how: str
    too_long: bool
    passed: bool
    printed: str


def _watched(scratch: Path, files: Sequence[tuple[str, Path]], paths: Sequence[Path], timeout_s: float) -> _Done:
    """Have one process describe `files`, and watch it to its end."""
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=scratch))
    named = tuple((kind, str(path.absolute())) for kind, path in files)
    request = DescribeRequest(folder=str(folder), files=named, paths=tuple(str(path.absolute()) for path in paths))
    request.write()
    environ = {
        **child_environ("cpu", 1, marker=str(folder)),
        "TMPDIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    limits = Limits(_BEGIN_S + timeout_s * len(files), MOST_MB)
    ended = None
    try:
        child = start("describe", folder, cwd=folder, environ=environ)
        ended = watch(child, limits, sample=_Clock(folder / DESCRIBED_FILE, timeout_s))
    except _TooLongError:
        how = f"does not come to an end (not within {timeout_s:g} s)"
    else:
        how = _how_it_ended(ended, timeout_s)
    if ended is not None and ended.keeper_died:
        end_leftovers(str(folder))  # nobody adopts what a killed keeper had
    trail = read_trail(folder)
    told, begun, problem = _read(folder / DESCRIBED_FILE, files)
    cause = infrastructure_of(trail, ended, folder) if ended is not None and len(told) < len(files) else None
    if cause is not None:
        raise cause
    result = trail.result or {}
    if result.get("error"):
        how = f"breaks what imports it: {result['error']:.200}"
    done = _Done(
        told,
        begun,
        problem,
        how,
        too_long=ended is None,
        passed=result.get("outcome") == Outcome.PASSED.value,
        printed=tail(folder / LOG_FILE, 2000).strip(),
    )
    shutil.rmtree(folder, ignore_errors=True)
    return done


class _TooLongError(Exception):
    """A file is not imported in time."""


class _Clock:
    """Looks on while files are described, and raises `_TooLongError` where one takes too long: no line has come."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._size = 0
        self._begun = False
        self._since = time.monotonic()

    def __call__(self, _: list[int]) -> None:
        now = time.monotonic()
        with contextlib.suppress(OSError):
            size = self._path.lstat().st_size
            if size != self._size:
                self._size, self._since, self._begun = size, now, True
        if now - self._since > (self._timeout_s if self._begun else _BEGIN_S):
            raise _TooLongError


def _how_it_ended(ended: Ended, timeout_s: float) -> str:
    if ended.stopped == "out-of-memory":
        return f"takes more than {MOST_MB:g} MiB of memory"
    if ended.stopped:
        return f"does not come to an end (not within {timeout_s:g} s)"
    if ended.oom_killed:
        return "takes more memory than this machine has"
    if ended.keeper_died:
        return "kills the process that started it"
    if ended.returncode < 0:
        number = -ended.returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return f"ends the process by {name}"
    return f"ends the process with exit code {ended.returncode}"


def _read(path: Path, files: Sequence[tuple[str, Path]]) -> tuple[list[dict[str, Any]], bool, str]:
    """What was told of the first files, whether the next was begun, and what is wrong with what was told of it.

    A file that is imported may write here, and so nothing is believed that is not as it must be.
    """
    try:
        raw = read_end(path, _LARGEST, whole=True)
    except (UnreadableError, OSError) as error:
        return [], True, f"spoils what is told of it: {error}"
    told: list[dict[str, Any]] = []
    begun = False
    for text in raw.split(b"\n")[:-1]:  # the last is empty, or was cut by a death
        line = _told(text, len(told), files[len(told)][0]) if len(told) < len(files) else None
        if line is None or bool(line) != begun:
            if len(told) == len(files):
                break  # of no file any more
            return told, True, "writes to what is told of it"
        if line:
            told.append(line)
        begun = not begun
    return told, begun, ""


def _told(text: bytes, index: int, kind: str) -> dict[str, Any] | None:
    """A line without its index, empty where the file `index` begins; None for what is no line of that file."""
    try:
        line = json.loads(text)
        if not isinstance(line, dict) or line.pop("index", None) != index:
            return None
        if set(line) == {"card"}:
            from_json(kind, line["card"])
        elif line and not (set(line) in _ANSWERS and all(isinstance(text, str) for text in line.values())):
            return None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return line


def main(folder: Path) -> None:
    """Describe every file of the request in `folder`. Never returns."""
    from harness.bench.child import work_on

    work_on(folder, DescribeRequest, _describe)


def _describe(request: DescribeRequest, progress: Progress) -> None:
    tell = _Teller(Path(request.folder) / DESCRIBED_FILE)
    for index, (kind, path) in enumerate(request.files):
        tell({"index": index})
        tell({"index": index, **_described(kind, Path(path))})
    progress.finish()


class _Teller:
    """Writes lines. What is imported meanwhile may close descriptors, change folders and remove what is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid = os.getpid()
        self._lines: list[bytes] = []

    def __call__(self, line: Mapping[str, Any]) -> None:
        if os.getpid() != self._pid:
            os._exit(0)  # a copy that a file forked has come this far
        self._lines.append(json.dumps(line).encode() + b"\n")
        there = self._path.exists()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # A pipe in its place would block.
        how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(self._path, how, 0o644), "ab") as file:
            file.write(self._lines[-1] if there else b"".join(self._lines))


def _described(kind: str, path: Path) -> Mapping[str, Any]:
    constant, declared_type, _ = KINDS[kind]
    before, on_path = set(sys.modules), set(sys.path)
    try:
        return _card_or_error(path, constant, declared_type)
    finally:
        if kind == "model":  # the next file may have a `net.py` of its own
            own_code.forget(own_code.roots_of(path), [each for each in sys.path if each not in on_path], before)


def _card_or_error(path: Path, constant: str, declared_type: type[Any]) -> Mapping[str, Any]:
    from harness.bench.registry import load

    try:
        entry = load(path, constant, declared_type)
    except UsageError as error:
        return {"refused": str(error)}
    except BaseException as error:  # noqa: BLE001 - whatever it raises must not end the process for the others
        return {"refused": f"{path}: importing it raises {type(error).__name__}, which ends a process. {_GUIDE}"}
    try:
        if entry.value is None:
            told = {"error": entry.error, "where": entry.where, "hint": hint_of(entry.raised, describing=True)}
            return {
                name: cut(text, _LONGEST_ERROR).encode("utf-8", "backslashreplace").decode()
                for name, text in told.items()
            }
        card = to_json(card_of(entry.value))
        json.dumps(card)
    except TypeError as error:
        return {"refused": f"{path}: {error}."}
    except BaseException as error:  # noqa: BLE001 - what it declares may have methods of its own
        return {"refused": f"{path}: what it declares cannot be read: {type(error).__name__}."}
    return {"card": card}
