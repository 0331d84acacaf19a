"""Stages and results of a process, whatever ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.bench import NotApplicable
from harness.bench.failure import describe_failure, failure_of
from harness.bench.processes import Ended, Limits
from harness.bench.progress import RESULT_FILE, STAGES_FILE, ProbeRejectedError, Progress, Trail, described, read_trail
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(timeout_s=5.0, memory_limit_mb=512)

KILLED = """
import os, signal, sys
from pathlib import Path
from harness.bench.progress import Progress
from harness.bench.stages import Stage

progress = Progress(Path(sys.argv[1]))
progress.enter(Stage.IMPORT, rss_base_mb=12.5)
progress.enter(Stage.LOAD, provider="x")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_the_stages_that_it_entered(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    trail = read_trail(tmp_path)
    assert [line["stage"] for line in trail.stages] == ["import", "load"]
    assert trail.last is Stage.LOAD
    assert trail.result is None
    assert (trail.fact("rss_base_mb"), trail.fact("provider"), trail.fact("nothing")) == (12.5, "x", None)
    assert list(trail.seconds()) == ["import", "load"]


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    Progress(tmp_path).enter(Stage.CONVERT)
    with (tmp_path / STAGES_FILE).open("a", encoding="utf-8") as file:
        file.write('{"stage": "valid')
    assert read_trail(tmp_path).last is Stage.CONVERT


def test_a_process_that_left_nothing_has_an_empty_trail(tmp_path: Path) -> None:
    trail = read_trail(tmp_path)
    assert (trail.stages, trail.result, trail.last, trail.seconds()) == ((), None, None, {})


def test_a_process_that_ends_well_says_so(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.enter(Stage.CONVERT)
    progress.finish(kind="onnx")
    trail = read_trail(tmp_path)
    assert trail.result == {"outcome": "passed", "kind": "onnx"}
    assert trail.last is Stage.CONVERT
    assert failure_of(trail, Ended(0), LIMITS, fallback=Stage.IMPORT) is None


def test_seconds_add_up_by_stage_and_leave_out_what_follows_the_end() -> None:
    lines: list[dict[str, Any]] = [
        {"stage": "convert", "at": 10.0},
        {"stage": "validate", "at": 12.0},
        {"stage": "convert", "at": 13.0},
        {"stage": None, "at": 14.0},
    ]
    assert Trail(tuple(lines), None, ended=99.0).seconds() == {"convert": 3.0, "validate": 1.0}


class _OutOfMemoryError(RuntimeError):
    """What torch.cuda raises is called so."""


_OutOfMemoryError.__name__ = "OutOfMemoryError"


class _Mute(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise OSError


@pytest.mark.parametrize(
    ("error", "outcome", "kind", "text"),
    [
        (ValueError("no"), Outcome.FAILED, "ValueError", "no"),
        (ValueError(), Outcome.FAILED, "ValueError", "ValueError without a message"),
        (SystemExit(0), Outcome.FAILED, "SystemExit", "the tool ended the process: SystemExit(0)"),
        (SystemExit("bye"), Outcome.FAILED, "SystemExit", "the tool ended the process: SystemExit('bye')"),
        (KeyboardInterrupt(), Outcome.FAILED, "KeyboardInterrupt", "KeyboardInterrupt without a message"),
        (NotApplicable("needs 2.5"), Outcome.NOT_APPLICABLE, "NotApplicable", "needs 2.5"),
        (MemoryError("x"), Outcome.OUT_OF_MEMORY, "MemoryError", "x"),
        (_OutOfMemoryError("x"), Outcome.OUT_OF_MEMORY, "OutOfMemoryError", "x"),
        (RuntimeError("CUDA error: out of memory"), Outcome.OUT_OF_MEMORY, "RuntimeError", "CUDA error: out of memory"),
        (OSError("\udcff"), Outcome.FAILED, "OSError", "?"),
        (_Mute(), Outcome.FAILED, "_Mute", "(its message cannot be told: OSError)"),
    ],
)
def test_exceptions_become_outcomes(error: BaseException, outcome: Outcome, kind: str, text: str) -> None:
    told = described(error)
    assert (told["outcome"], told["error_type"], told["error"]) == (outcome.value, kind, text)
    assert told["rejected_probe"] is False
    json.dumps(told).encode()


def test_a_rejected_probe_is_told_apart() -> None:
    assert described(ProbeRejectedError("x"))["rejected_probe"] is True


def test_an_exception_is_the_result_and_its_stage_the_last_one(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.enter(Stage.VALIDATE)
    try:
        os.environ["NOBODY_SETS_THIS"]
    except KeyError as error:
        progress.fail(error)
    failure = failure_of(read_trail(tmp_path), Ended(0), LIMITS, fallback=Stage.IMPORT)
    assert failure is not None
    assert (failure.outcome, failure.stage, failure.error_type) == (Outcome.FAILED, Stage.VALIDATE, "KeyError")
    assert failure.traceback.startswith("Traceback")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([STAGES_FILE, RESULT_FILE])


@pytest.mark.parametrize(
    ("ended", "outcome", "error_type", "told"),
    [
        (Ended(-11), Outcome.CRASHED, "SIGSEGV", "died of SIGSEGV"),
        (Ended(-6), Outcome.CRASHED, "SIGABRT", "died of SIGABRT"),
        (Ended(-9), Outcome.CRASHED, "SIGKILL", "died of SIGKILL"),
        (Ended(-40), Outcome.CRASHED, "signal 40", "died of signal 40"),
        (Ended(0), Outcome.CRASHED, "NoResult", "exit code 0 and left no result"),
        (Ended(3), Outcome.CRASHED, "NoResult", "exit code 3 and left no result"),
        (Ended(-9, "timed-out"), Outcome.TIMED_OUT, "Timeout", "not done within 5 s"),
        (Ended(-9, "out-of-memory"), Outcome.OUT_OF_MEMORY, "MemoryLimit", "limit of 512 MiB"),
        (Ended(-9, oom_killed=True), Outcome.OUT_OF_MEMORY, "OomKiller", "OOM killer"),
    ],
)
def test_what_ends_a_process_becomes_an_outcome(ended: Ended, outcome: Outcome, error_type: str, told: str) -> None:
    entered = Trail(({"stage": "execute", "at": 1.0},), None)
    failure = failure_of(entered, ended, LIMITS, fallback=Stage.LOAD)
    assert failure is not None
    assert (failure.outcome, failure.stage, failure.error_type) == (outcome, Stage.EXECUTE, error_type)
    assert told in failure.error
    before_any_stage = failure_of(Trail((), None), ended, LIMITS, fallback=Stage.LOAD)
    assert before_any_stage is not None
    assert before_any_stage.stage is Stage.LOAD


def test_a_process_that_was_stopped_did_not_pass_whatever_it_wrote() -> None:
    trail = Trail(({"stage": "measure", "at": 1.0},), {"outcome": "passed"})
    failure = failure_of(trail, Ended(-9, "timed-out"), LIMITS, fallback=Stage.LOAD)
    assert failure is not None
    assert failure.outcome is Outcome.TIMED_OUT


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"outcome": Outcome.FAILED, "error_type": "Fail", "error": "bad"}, "failed at load: Fail: bad"),
        ({"outcome": Outcome.MISMATCHED, "difference": "output 0"}, "mismatched at load: output 0"),
    ],
)
def test_a_failure_in_a_persons_words(values: dict[str, Any], text: str) -> None:
    common: dict[str, Any] = {
        "combination": "c",
        "extension": "",
        "model": "m",
        "strategy": "s",
        "device": "cpu",
        "tier": "quick",
    }
    assert describe_failure(Record(**common, stage=Stage.LOAD, **values)) == text
