"""How a process tells what it is doing: each stage is written down before it begins, the result at the end.

Whatever kills the process, the last stage that was entered is known. Both files are read by another process; nothing
goes through stdout, which belongs to the frameworks.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bench.definitions import NotApplicable
from harness.bench.record import write_json
from harness.bench.stages import Outcome, Stage

STAGES_FILE = "stages.jsonl"
RESULT_FILE = "result.json"

# What an allocator's refusal looks like, whichever library's it is.
_ALLOCATION_TYPES = ("MemoryError", "OutOfMemoryError", "ResourceExhaustedError", "_ArrayMemoryError")
_ALLOCATION_WORDS = ("out of memory", "std::bad_alloc", "failed to allocate memory", "can't allocate memory")


class ProbeRejectedError(Exception):
    """A probe that the model's own `forward` does not take: the file is wrong, not a conversion."""


class Progress:
    """Writes the stages and the result of this process into `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stages = (folder / STAGES_FILE).open("a", encoding="utf-8", buffering=1)

    def enter(self, stage: Stage, **facts: Any) -> None:
        """Write down that `stage` begins now, with what is known by then."""
        self._stages.write(json.dumps({"stage": stage.value, "at": time.monotonic(), **facts}) + "\n")

    def finish(self, **result: Any) -> None:
        """Write the result of a process that came to its end."""
        self._stages.write(json.dumps({"stage": None, "at": time.monotonic()}) + "\n")
        write_json(self.folder / RESULT_FILE, {"outcome": Outcome.PASSED.value, **result})

    def fail(self, error: BaseException) -> None:
        """Write the result of a process that an exception ended, `SystemExit` of any code among them."""
        self._stages.write(json.dumps({"stage": None, "at": time.monotonic()}) + "\n")
        write_json(self.folder / RESULT_FILE, described(error))


def _text(error: BaseException) -> str:
    """An exception's message, such that any file can hold it."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - a message that cannot be told is no reason to lose the cell
        text = f"(its message cannot be told: {type(broken).__name__})"
    return text.encode("utf-8", "replace").decode("utf-8")


def described(error: BaseException) -> dict[str, Any]:
    """Outcome, error type, message and traceback of an exception."""
    kind = type(error).__name__
    text = _text(error) or f"{kind} without a message"
    if isinstance(error, SystemExit):
        text = f"the tool ended the process: SystemExit({error.code!r})"
    outcome = Outcome.FAILED
    if isinstance(error, NotApplicable):
        outcome = Outcome.NOT_APPLICABLE
    elif kind in _ALLOCATION_TYPES or any(words in text.lower() for words in _ALLOCATION_WORDS):
        outcome = Outcome.OUT_OF_MEMORY
    return {
        "outcome": outcome.value,
        "error_type": kind,
        "error": text,
        "rejected_probe": isinstance(error, ProbeRejectedError),
        "traceback": "".join(traceback.format_exception(type(error), error, error.__traceback__))[-20_000:],
    }


@dataclass(frozen=True)
class Trail:
    """What a process left behind: the stages it entered with their facts, and its result if it came to one."""

    stages: tuple[Mapping[str, Any], ...]
    result: Mapping[str, Any] | None
    ended: float = field(default_factory=time.monotonic)

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


def read_trail(folder: Path) -> Trail:
    """Read what a process left in `folder`; a line cut short by its death is left out."""
    stages = []
    path = folder / STAGES_FILE
    if path.exists():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        stages = [json.loads(line) for line in lines if line.endswith("\n")]
    result = folder / RESULT_FILE
    return Trail(tuple(stages), json.loads(result.read_text(encoding="utf-8")) if result.exists() else None)
