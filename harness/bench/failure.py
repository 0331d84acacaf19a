"""What the end of a child means for its cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from signal import Signals
from typing import Any

from harness.bench.processes import Ended, Limits
from harness.bench.progress import Trail
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage


@dataclass(frozen=True)
class Failure:
    """Why a cell ended before its end."""

    outcome: Outcome
    stage: Stage
    error_type: str
    error: str
    traceback: str = ""
    rejected_probe: bool = False


def _violent(ended: Ended, limits: Limits) -> dict[str, Any]:
    """What is told of a process that did not live to say it itself."""
    if ended.stopped == "timed-out":
        kind, name, text = Outcome.TIMED_OUT, "Timeout", f"not done within {limits.timeout_s:g} s"
    elif ended.stopped == "out-of-memory":
        text = f"the process group used more than the limit of {limits.memory_limit_mb:g} MiB"
        kind, name = Outcome.OUT_OF_MEMORY, "MemoryLimit"
    elif ended.oom_killed:
        kind, name, text = Outcome.OUT_OF_MEMORY, "OomKiller", "the kernel's OOM killer ended the process"
    elif ended.returncode < 0:
        number = -ended.returncode
        name = Signals(number).name if number in set(Signals) else f"signal {number}"
        kind, text = Outcome.CRASHED, f"the process died of {name}"
    else:
        text = f"the process ended with exit code {ended.returncode} and left no result"
        kind, name = Outcome.CRASHED, "NoResult"
    return {"outcome": kind, "error_type": name, "error": text}


def failure_of(trail: Trail, ended: Ended, limits: Limits, *, fallback: Stage) -> Failure | None:
    """What a child's end means; None where it came to a passing result."""
    stage = trail.last or fallback
    result = trail.result
    if ended.stopped or ended.oom_killed or result is None:
        return Failure(stage=stage, **_violent(ended, limits))
    if result["outcome"] == Outcome.PASSED.value:
        return None
    return Failure(
        Outcome(result["outcome"]),
        stage,
        result["error_type"],
        result["error"],
        result.get("traceback", ""),
        result.get("rejected_probe", False),
    )


def not_installed(failure: Failure, declared: Iterable[str]) -> Failure:
    """In an ambient environment a package that is not there makes a cell not applicable: no lock promised it.

    `declared` are the imports of the cell's model, steps and runtime. A package of theirs that is there and lacks one
    of its own stays a failure.
    """
    absent = {f"No module named {name!r}" for module in declared for name in (module, module.partition(".")[0])}
    if failure.stage is not Stage.IMPORT or failure.error not in absent:
        return failure
    return replace(
        failure,
        outcome=Outcome.NOT_APPLICABLE,
        error_type="NotApplicable",
        error=f"not installed in this environment: {failure.error}",
        traceback="",
    )


def describe_failure(record: Record) -> str:
    """A few lines for a person, for pytest's failure section."""
    what = record.difference or record.error or ""
    head = f"{record.outcome.value} at {record.stage.value}"
    return f"{head}: {record.error_type}: {what}" if record.error_type else f"{head}: {what}"
