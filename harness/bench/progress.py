"""How a process tells what it is doing: each stage is written down before it begins, the result at the end.

Whatever kills the process, the last stage that was entered is known. Both files are read by another process; nothing
goes through stdout, which belongs to the frameworks. What runs in between may do anything to the process and its
folder: nothing is kept open, everything is written by absolute path, and the folder is made again where it has gone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from harness.bench.definitions import NotApplicable
from harness.bench.explaining import hint_of, place_of, with_hint
from harness.bench.logs import UnreadableError, read_end
from harness.bench.roots import ENDED, chain_told, place_told, root_of, unwrapped
from harness.bench.stages import Outcome, Stage

STAGES_FILE = "stages.jsonl"
RESULT_FILE = "result.json"
RESERVE_FILE = ".reserve"

LONGEST = 20_000
"""Characters that are kept of a message or a traceback: its head and its end."""

_LONGEST_NAME = 200
_LONGEST_LINK = 2000
_LARGEST_STAGES = 2**20
_LARGEST_RESULT = 16 * 2**20
_RESERVE = 2**16

# What an allocator's refusal looks like. Words count in errors of those who allocate; anybody may write about memory.
_ALLOCATION_TYPES = ("MemoryError", "OutOfMemoryError", "ResourceExhaustedError", "_ArrayMemoryError")
_ALLOCATION_WORDS = ("out of memory", "std::bad_alloc", "failed to allocate memory", "can't allocate memory")
_ALLOCATORS = ("onnxruntime.", "tensorflow.")
_NO_SPACE_WORDS = "No space left on device"


class ModelMistakeError(Exception):
    """What is wrong with a model's file itself, so that no version explains it; the message says what to do."""


class InputsError(ModelMistakeError):
    """Inputs that contradict the example or the declaration: only what the file itself says has a part in it."""


class ProbeRejectedError(Exception):
    """A probe that `forward` does not take. The probe may be wrong, or the version: the end of a run tells which."""


class Progress:
    """Writes the stages and the result of this process into `folder`.

    A reserve of 64 KiB is laid by, so that a result can be written where the process has filled the disk. `look` is
    called as a stage begins and at the end, while what the job has made is still alive.
    """

    look: Callable[[], None] | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._lines: list[str] = []
        (self.folder / RESERVE_FILE).write_bytes(bytes(_RESERVE))

    def enter(self, stage: Stage, **facts: Any) -> None:
        """Write down that `stage` begins now, with what is known by then."""
        if self.look is not None:
            self.look()
        self._tell({"stage": stage.value, "at": time.monotonic(), **facts})

    def _tell(self, line: Mapping[str, Any]) -> None:
        self._lines.append(json.dumps(line) + "\n")
        path = self.folder / STAGES_FILE
        if len(self._lines) > 1 and path.is_file():
            text = self._lines[-1]
        else:  # the first line, or a folder that somebody has emptied
            path.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(self._lines)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)

    def finish(self, **result: Any) -> None:
        """Write the result of a process that came to its end; one that no file can hold is a failure."""
        self._end()
        try:
            text = json.dumps({"outcome": Outcome.PASSED.value, **result})
        except (TypeError, ValueError, RecursionError) as error:
            self._write(json.dumps(described(error)))
        else:
            self._write(text)

    def fail(self, error: BaseException) -> None:
        """Write the result of a process that an exception ended, `SystemExit` of any code among them."""
        self._end()
        self._write(json.dumps(described(error)))

    def _end(self) -> None:
        with contextlib.suppress(OSError):  # the stage's seconds are lost, and nothing else
            self._tell({"stage": None, "at": time.monotonic()})
        if self.look is not None:
            self.look()

    def _write(self, text: str) -> None:
        path = self.folder / RESULT_FILE
        partial = path.with_name(f".{RESULT_FILE}.{os.getpid()}")
        for last in (False, True):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_text(text, encoding="utf-8")
                partial.replace(path)
            except OSError as error:  # noqa: PERF203 - twice at most
                if last:
                    raise
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    os.closerange(3, 2**16)  # this is the last that the process does
                (self.folder / RESERVE_FILE).unlink(missing_ok=True)
            else:
                (self.folder / RESERVE_FILE).unlink(missing_ok=True)
                return


def leave() -> NoReturn:
    """End this process without running anyone's exit handlers; what it printed is kept as far as that can be done."""
    try:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
    finally:
        os._exit(0)


def cut(text: str, longest: int = LONGEST) -> str:
    """A text's head and end, with what was left out between them told in its length."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"


def _plain(text: str) -> str:
    """Such that any file can hold it; a subclass of `str` may have methods of its own."""
    return str.encode(text, "utf-8", "replace").decode("utf-8")


def _text(error: BaseException) -> str:
    """An exception's message, cut."""
    try:
        return cut(_plain(str(error)))
    except BaseException as broken:  # noqa: BLE001 - a message that cannot be told is no reason to lose the cell
        return f"(its message cannot be told: {type(broken).__name__})"


def _told_by(error: BaseException) -> str:
    """The traceback, cut."""
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        return cut(_plain("".join(lines)))
    except BaseException as broken:  # noqa: BLE001 - likewise
        return f"(its traceback cannot be told: {type(broken).__name__})"


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from, the last first."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and len(found) < 100 and following not in found:  # noqa: PLR2004 - any bound
        found.append(following)
        following = following.__cause__ or following.__context__
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception is an allocator's refusal, which says nothing of what it was asked for."""
    return _refused_memory(error, _plain(type(error).__name__), _text(error))


def _refused_memory(error: BaseException, kind: str, text: str) -> bool:
    if isinstance(error, MemoryError) or kind in _ALLOCATION_TYPES:
        return _NO_SPACE_WORDS not in text  # TensorFlow says ResourceExhaustedError of a disk too
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, (RecursionError, NotImplementedError)):
        return False
    allocates = isinstance(error, RuntimeError) or str(getattr(type(error), "__module__", "")).startswith(_ALLOCATORS)
    return allocates and any(words in text.lower() for words in _ALLOCATION_WORDS)


def described(error: BaseException) -> dict[str, Any]:
    """Outcome, error type, message and traceback of an exception; `no_space` where a disk refused.

    Type and message are those of the root (`harness.bench.roots`), and `chain` has all that was put around it.
    `mistake` says that the model's file is wrong, whatever the versions; `where` is the place in a user's own code.

    Message and traceback are cut to `LONGEST` characters here, where they are made: an exception may have gigabytes.
    """
    root = error if isinstance(error, (NotApplicable, ModelMistakeError)) else _root(error)
    kind, text = _kind(root), _text(root)
    refused_memory = any(_refused_memory(each, _kind(each), _text(each)) for each in (error, root))
    if isinstance(root, SystemExit):
        text = cut(f"{ENDED} SystemExit({_repr(root.code)})")
    kind, text = unwrapped(kind, text)
    outcome = Outcome.FAILED
    if isinstance(error, NotApplicable):
        outcome = Outcome.NOT_APPLICABLE
    elif refused_memory:
        outcome = Outcome.OUT_OF_MEMORY
    told = _told_by(error)
    hint = _plain(hint_of(error))
    refused = any(isinstance(each, OSError) and each.errno == errno.ENOSPC for each in _chain(error))
    return {
        "outcome": outcome.value,
        "error_type": kind,
        "error": with_hint(text or f"{kind} without a message", f"\n{hint}" if hint else ""),
        "mistake": isinstance(error, ModelMistakeError),
        "where": _plain(place_of(error)),
        "place": _plain(place_told(text) or place_of(root)),
        "chain": _chain_told(error),
        "no_space": refused or _NO_SPACE_WORDS in text or _NO_SPACE_WORDS in told,
        "traceback": told,
    }


def _kind(error: BaseException) -> str:
    return _plain(type(error).__name__)[:_LONGEST_NAME]


def _root(error: BaseException) -> BaseException:
    """The root; the error itself where its chain cannot be walked, whose attributes may be anything."""
    try:
        return root_of(error)
    except BaseException:  # noqa: BLE001 - likewise
        return error


def _chain_told(error: BaseException) -> list[dict[str, str]]:
    """The chain, where there is more than the error itself."""
    try:
        told = chain_told(error, longest=_LONGEST_LINK)
    except BaseException:  # noqa: BLE001 - likewise
        return []
    plain = [{name: _plain(value) for name, value in each.items()} for each in told]
    return plain if len(plain) > 1 else []


def _repr(value: object) -> str:
    try:
        return _plain(repr(value))
    except BaseException as broken:  # noqa: BLE001 - likewise
        return f"(a value that cannot be told: {type(broken).__name__})"


@dataclass(frozen=True)
class Trail:
    """What a process left behind: the stages it entered with their facts, and its result if it came to one.

    `problem` says why a result that is there is none.
    """

    stages: tuple[Mapping[str, Any], ...]
    result: Mapping[str, Any] | None
    ended: float = field(default_factory=time.monotonic)
    problem: str = ""

    @property
    def last(self) -> Stage | None:
        """The stage that was entered last."""
        entered = [line["stage"] for line in self.stages if line["stage"] is not None]
        return Stage(entered[-1]) if entered else None

    def fact(self, name: str) -> Any:
        """The newest value of a fact that came with a stage."""
        return next((line[name] for line in reversed(self.stages) if line.get(name) is not None), None)

    def seconds(self) -> dict[str, float]:
        """Wall seconds by stage."""
        spent: dict[str, float] = {}
        ends = [*(line["at"] for line in self.stages), self.ended][1:]
        for line, end in zip(self.stages, ends, strict=True):
            if line["stage"] is not None:
                spent[line["stage"]] = spent.get(line["stage"], 0.0) + end - line["at"]
        return spent


_STAGES = {None, *(stage.value for stage in Stage)}
_RESULTS = {Outcome.PASSED, Outcome.FAILED, Outcome.NOT_APPLICABLE, Outcome.OUT_OF_MEMORY}


def _loaded(text: str) -> Any:
    """JSON, or None where it is none: it may be anything at all."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _stages(folder: Path) -> list[dict[str, Any]]:
    """The lines that are whole and say a stage; others may have been cut by a death, or written by anybody."""
    try:
        lines = read_end(folder / STAGES_FILE, _LARGEST_STAGES).decode("utf-8", "replace").splitlines(keepends=True)
    except (UnreadableError, OSError):
        return []
    found = (_loaded(line) for line in lines if line.endswith("\n"))
    return [line for line in found if isinstance(line, dict) and _is_stage(line)]


def _is_stage(line: dict[str, Any]) -> bool:
    stage, at = line.get("stage", ""), line.get("at")
    return (
        (stage is None or isinstance(stage, str)) and stage in _STAGES and isinstance(at, float) and math.isfinite(at)
    )


def _result(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The result, or None and what is wrong with it."""
    path = folder / RESULT_FILE
    try:
        raw = read_end(path, _LARGEST_RESULT, whole=True)
    except (UnreadableError, OSError) as error:
        return None, str(error)
    if not raw:
        return None, "it is empty" if path.exists() else ""
    value = _loaded(raw.decode("utf-8", "replace"))
    if not isinstance(value, dict):
        return None, "it is no JSON object"
    if value.get("outcome") not in {outcome.value for outcome in _RESULTS}:
        return None, "it names no outcome that a process can come to"
    if value["outcome"] != Outcome.PASSED.value and not all(
        isinstance(value.get(name), str) for name in ("error_type", "error")
    ):
        return None, "it does not say what failed"
    return value, ""


def read_trail(folder: Path) -> Trail:
    """Read what a process left in `folder`, however much and whatever that is."""
    result, problem = _result(folder)
    return Trail(tuple(_stages(folder)), result, problem=problem)
