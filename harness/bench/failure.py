"""What the end of a child means for its cell."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

from harness.bench.disk import space_at
from harness.bench.errors import DiskFullError, InfrastructureError, InterpreterGoneError
from harness.bench.fingerprint import fingerprint, normalise_paths, shorten
from harness.bench.logs import said_in
from harness.bench.operators import node_of, operator_of
from harness.bench.processes import Ended, Limits
from harness.bench.progress import Trail
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.bench.text import one_line

_OOM_KILLER = "OomKiller"
_LITTLE_SPACE = 16 * 2**20
_LITTLE_SHARE = 0.01
_NO_SPACE = 2**20


@dataclass(frozen=True)
class Failure:
    """Why a cell ended before its end.

    `mistake` says that the model's file is wrong, whatever the versions; `where` is ``FILE:LINE`` of the innermost
    frame in a user's own code, empty where there is none. `place` is the same of the root of the error, where that is
    known from its message alone too; `chain` has the exceptions around the root, the outermost first.
    """

    outcome: Outcome
    stage: Stage
    error_type: str
    error: str
    traceback: str = ""
    mistake: bool = False
    where: str = ""
    place: str = ""
    chain: tuple[Mapping[str, str], ...] = ()

    @property
    def by_kernel(self) -> bool:
        """Whether the kernel ended the process for want of memory, which another program may have taken."""
        return (self.outcome, self.error_type) == (Outcome.OUT_OF_MEMORY, _OOM_KILLER)

    def told_of(self, file: Path) -> str:
        """A line for whoever wrote the model's file: place, error, what to do."""
        apart = "" if not self.where or self.where.startswith(f"{file}:") else f" ({self.where})"
        place = file if apart or not self.where else self.where
        return f"{place}: {self.error_type}: {one_line(self.error)}{apart}"


def _violent(trail: Trail, ended: Ended, limits: Limits) -> dict[str, Any]:
    """What is told of a process that did not live to say it itself, or died when it had."""
    after = " after it had written its result" if trail.result is not None else ""
    if ended.stopped == "timed-out":
        kind, name, text = Outcome.TIMED_OUT, "Timeout", f"not done within {limits.timeout_s:g} s"
    elif ended.stopped == "out-of-memory":
        text = f"the process group used more than the limit of {limits.memory_limit_mb:g} MiB"
        kind, name = Outcome.OUT_OF_MEMORY, "MemoryLimit"
    elif ended.oom_killed:
        kind, name, text = Outcome.OUT_OF_MEMORY, _OOM_KILLER, "the kernel's OOM killer ended the process"
    elif ended.keeper_died:
        kind, name, text = Outcome.CRASHED, "SIGKILL", f"its parent was killed, and the process with it{after}"
    elif ended.returncode < 0:
        number = -ended.returncode
        name = Signals(number).name if number in set(Signals) else f"signal {number}"
        kind, text = Outcome.CRASHED, f"the process died of {name}{after}"
    elif trail.result is not None:
        kind, name = Outcome.CRASHED, "ExitCode"
        text = f"the process ended with exit code {ended.returncode}{after}"
    else:
        left = f"a result that cannot be used: {trail.problem}" if trail.problem else "no result"
        text = f"the process ended with exit code {ended.returncode} and left {left}"
        kind, name = Outcome.CRASHED, "NoResult"
    return {"outcome": kind, "error_type": name, "error": text}


def failure_of(trail: Trail, ended: Ended, limits: Limits, *, fallback: Stage) -> Failure | None:
    """What a child's end means; None where it came to a passing result, and to a good end after it."""
    stage = trail.last or fallback
    result = trail.result
    if ended.stopped or ended.oom_killed or result is None:
        return Failure(stage=stage, **_violent(trail, ended, limits))
    if result["outcome"] == Outcome.PASSED.value:
        # What crashes on its way out crashes where it is deployed.
        return Failure(stage=stage, **_violent(trail, ended, limits)) if ended.returncode else None
    return Failure(
        Outcome(result["outcome"]),
        stage,
        result["error_type"],
        result["error"],
        str(result.get("traceback", "")),
        result.get("mistake") is True,
        str(result.get("where", "")),
        str(result.get("place", "")),
        _links(result.get("chain")),
    )


def _links(value: object) -> tuple[Mapping[str, str], ...]:
    """The chain of a result that somebody may have tampered with."""
    if not isinstance(value, list):
        return ()
    links = [each for each in value if isinstance(each, dict)]
    return tuple({name: str(each.get(name, "")) for name in ("type", "message")} for each in links)


def with_log(failure: Failure, log: str) -> Failure:
    """The failure with what its tool printed, where it ended the process and said no more than that.

    `log` is the end of what the child printed. What it says of the node that it was at is told as the place.
    """
    ended = failure.error_type == "SystemExit" or (failure.chain and failure.chain[0]["type"] == "SystemExit")
    if not ended:
        return failure
    said = said_in(log) if failure.error_type == "SystemExit" else ""
    error = f"{said} ({failure.error})" if said else failure.error
    return dataclasses.replace(failure, error=error, place=failure.place or node_of(log))


def columns_of(failure: Failure, scratch: Path, *, model: str) -> dict[str, str | None]:
    """The columns of the record that say what went wrong, and what in the model it is about.

    Operator and place are the error's own, or those that what was put around it names. `scratch` is the cell's folder.
    """
    text = normalise_paths(failure.error, scratch)
    if failure.outcome is Outcome.MISMATCHED:
        return {"difference": shorten(text), "fingerprint": fingerprint(failure.error_type, text, model=model)}
    columns: dict[str, str | None] = {"error": shorten(text), "error_type": shorten(failure.error_type)}
    if failure.outcome is Outcome.NOT_APPLICABLE:
        return columns
    said = [text, *(each["message"] for each in reversed(failure.chain))]
    place = normalise_paths(failure.place, scratch) or next(filter(None, map(node_of, said)), "")
    return {
        **columns,
        "fingerprint": fingerprint(failure.error_type, text, model=model),
        "operator": shorten(next(filter(None, map(operator_of, said)), "")) or None,
        "place": shorten(place) or None,
    }


def signature_of(record: Record) -> str:
    """What cells share where one cause broke them: the fingerprint, or the first wrong operator of a mismatch.

    Without either it is the error's own text.
    """
    begins_at = (record.begins_at or "").split()
    if record.outcome is Outcome.MISMATCHED and begins_at:
        return "Mismatch|" + begins_at[0].strip(",;")
    return record.fingerprint or "|".join(filter(None, (record.error_type, record.error, record.difference)))


def infrastructure_of(trail: Trail, ended: Ended, folder: Path) -> InfrastructureError | None:
    """Why the end of a child is no result at all: the disk is full, or the environment has gone. None for a result.

    An error that says that there is no space is believed where less than 16 MiB or 1 % was left, at the end or at any
    look before (a tool may have removed the part that it had written): whoever writes to another, smaller place, or to
    /dev/full, failed by himself. Any other bad end is no result where less than 1 MiB is left: on a full disk
    `torch.save` says "unexpected pos", and a mapped file ends its process by SIGBUS.
    """
    result = trail.result
    passed = result is not None and result["outcome"] == Outcome.PASSED.value and not ended.returncode
    if passed or ended.stopped or ended.oom_killed:
        return None
    if not Path(sys.executable).exists():
        msg = "The environment's interpreter has gone while cells ran."
        return InterpreterGoneError(msg)
    now = space_at(folder)
    least = min(now, ended.least_space or now)
    told = result is not None and result.get("no_space") is True
    if now.free < _NO_SPACE or (told and (least.free < _LITTLE_SPACE or least.share < _LITTLE_SHARE)):
        msg = f"The disk is full: {least.free // 2**20} MiB were left where this cell works."
        return DiskFullError(msg)
    return None


def absent(declared: Iterable[str]) -> str:
    """The first of the modules in `declared` that no distribution of this environment provides, or nothing.

    Nothing is imported for it: what is there and does not import is another matter. Where even PyTorch is not found,
    children see another environment than this process, and only they can tell.
    """
    if not _is_there("torch"):
        return ""
    for module in declared:
        top = module.partition(".")[0]
        if not _is_there(top):
            return top
    return ""


@functools.cache
def _is_there(module: str) -> bool:
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return True


def not_installed(failure: Failure, declared: Iterable[str], *, pinned: bool) -> Failure:
    """A package that is not there makes a cell not applicable: nothing that was asked for has promised it.

    `declared` are the imports of the cell's model, steps and runtime. A package of theirs that is there and lacks one
    of its own stays a failure. `pinned` says that the environment is of a lock.
    """
    for module in declared:
        top = module.partition(".")[0]
        if failure.stage is Stage.IMPORT and failure.error in {f"No module named {name!r}" for name in (module, top)}:
            return lacking(top, pinned=pinned, stage=Stage.IMPORT)
    return failure


def lacking(module: str, *, pinned: bool, stage: Stage) -> Failure:
    """What is recorded of a cell that needs a module which the environment does not have."""
    where = "not among these requirements" if pinned else "not installed in this environment"
    return Failure(Outcome.NOT_APPLICABLE, stage, "NotApplicable", f"{module} is {where}")


def reason_of(record: Record) -> str:
    """What was wrong, of a broken cell: `KeyError: 'lost'`."""
    what = record.difference or record.error or ""
    return f"{record.error_type}: {what}" if record.error_type else what


def describe_failure(record: Record) -> str:
    """The same with how far the cell came, for pytest's failure section: `failed at convert: KeyError: 'lost'`."""
    return f"{record.outcome.value} at {record.stage.value}: {reason_of(record)}"
