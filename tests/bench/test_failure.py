"""What the end of a child means: a failure, a crash, or no result at all."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.bench.disk import space_at
from harness.bench.errors import DiskFullError, InfrastructureError, InterpreterGoneError
from harness.bench.failure import describe_failure, failure_of, infrastructure_of
from harness.bench.processes import Ended, Limits, watch
from harness.bench.progress import Trail, described, read_trail
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from tests.bench.children import Kept, raised, run_job

LIMITS = Limits(timeout_s=5.0, memory_limit_mb=512)


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
    ("ended", "error_type", "told"),
    [
        (Ended(-11), "SIGSEGV", "died of SIGSEGV after it had written its result"),
        (Ended(-6), "SIGABRT", "died of SIGABRT after it"),
        (Ended(3), "ExitCode", "exit code 3 after it"),
        (Ended(-9, keeper_died=True), "SIGKILL", "its parent was killed, and the process with it after it"),
    ],
)
def test_a_crash_after_the_result_is_a_crash(ended: Ended, error_type: str, told: str) -> None:
    trail = Trail(({"stage": "measure", "at": 1.0}, {"stage": None, "at": 2.0}), {"outcome": "passed"})
    failure = failure_of(trail, ended, LIMITS, fallback=Stage.LOAD)
    assert failure is not None
    assert (failure.outcome, failure.stage, failure.error_type) == (Outcome.CRASHED, Stage.MEASURE, error_type)
    assert told in failure.error
    # What had failed before it crashed is told as what it is.
    broken = Trail(trail.stages, described(ValueError("first")))
    failure = failure_of(broken, ended, LIMITS, fallback=Stage.LOAD)
    assert failure is not None
    assert (failure.outcome, failure.error) == (Outcome.FAILED, "first")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m,nr_inodes=2000", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


FILLS = """
try:
    with open("filling", "wb") as file:
        while True: file.write(bytes(4096))
except OSError:
    pass
"""
WRITES = "open('artifact', 'wb').write(bytes(2**20))"
SAYS_NOTHING = (
    "try:\n    open('artifact', 'wb').write(bytes(2**20))\nexcept OSError: pass\nraise RuntimeError('unexpected pos')"
)
MAPS = (
    "import mmap\nf = open('artifact', 'w+b'); f.truncate(2**22)\nm = mmap.mmap(f.fileno(), 2**22); m[:] = bytes(2**22)"
)


@pytest.mark.parametrize("then", [WRITES, SAYS_NOTHING, MAPS, "import os; os._exit(3)"])
def test_a_disk_that_fills_is_no_result(small_disk: Path, then: str) -> None:
    done = run_job(FILLS + then, small_disk)
    trail = read_trail(small_disk)
    # A process that can still say something does, on what was laid by.
    assert (trail.result is None) == (then in (MAPS, "import os; os._exit(3)"))
    cause = infrastructure_of(trail, Ended(done.returncode), small_disk)
    assert isinstance(cause, DiskFullError)
    assert "0 MiB were left" in str(cause)
    assert "Make room" in str(cause)


def test_a_disk_that_was_full_before_is_no_result(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filling").write_bytes(bytes(2**25))
    done = run_job("pass", small_disk)
    assert done.returncode == 1
    assert isinstance(infrastructure_of(read_trail(small_disk), Ended(1), small_disk), DiskFullError)


def test_what_says_that_there_is_no_space_where_there_is_has_failed(tmp_path: Path) -> None:
    done = run_job("open('/dev/full', 'wb', 0).write(b'x')", tmp_path)
    trail = read_trail(tmp_path)
    assert trail.result is not None
    assert trail.result["no_space"] is True
    assert infrastructure_of(trail, Ended(done.returncode), tmp_path) is None


def test_no_space_is_told_by_what_an_error_came_from() -> None:
    code = "try: open('/dev/full', 'wb', 0).write(b'x')\nexcept OSError as e: raise RuntimeError('export') from e"
    assert described(raised(code))["no_space"] is True
    assert described(raised("raise RuntimeError('x: No space left on device')"))["no_space"] is True
    assert described(raised("raise RuntimeError('export')"))["no_space"] is False


def test_a_disk_that_filled_and_was_cleared_again_was_full(kept: Kept, small_disk: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from harness.bench.progress import Progress, leave
progress = Progress(Path.cwd())
try:
    try:
        with open("filling", "wb", 0) as file:
            while True:
                assert file.write(bytes(2**20)) == 2**20 or file.write(bytes(2**20))
                time.sleep(0.02)
    finally:
        Path("filling").unlink()
except OSError as error:
    progress.fail(error)
leave()
"""
    command = [sys.executable, "-c", code]
    child = kept.keeper.child(small_disk, cwd=small_disk, command=command, environ=kept.environ)
    ended = watch(child, Limits(20.0, 1000))
    trail = read_trail(small_disk)
    assert trail.result is not None
    assert trail.result["no_space"] is True
    assert space_at(small_disk).share > 0.9
    assert isinstance(infrastructure_of(trail, ended, small_disk), DiskFullError)


def _touch(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"empty-{number}").touch()


def test_space_of_what_is_left_of_a_path(small_disk: Path) -> None:
    whole = space_at(small_disk)
    assert whole.free == 24 * 2**20
    assert space_at(small_disk / "nothing" / "here") == whole
    (small_disk / "half").write_bytes(bytes(12 * 2**20))
    assert space_at(small_disk).share == pytest.approx(0.5, abs=0.01)
    with pytest.raises(OSError, match="No space left"):
        _touch(small_disk, 3000)
    assert space_at(small_disk) == (0, 0.0)  # room for bytes, and for no more files


def test_a_full_disk_that_nobody_met_changes_no_result(small_disk: Path) -> None:
    (small_disk / "most").write_bytes(bytes(20 * 2**20))
    failed = Trail((), described(ValueError("no")))
    no_space = Trail((), described(OSError(errno.ENOSPC, "no")))
    assert infrastructure_of(failed, Ended(0), small_disk) is None
    assert infrastructure_of(no_space, Ended(0), small_disk) is not None
    assert infrastructure_of(no_space, Ended(0), small_disk / "gone" / "too") is not None
    assert infrastructure_of(Trail((), {"outcome": "passed"}), Ended(0), small_disk) is None
    assert infrastructure_of(Trail((), None), Ended(-9, "timed-out"), small_disk) is None


def test_an_environment_that_has_gone_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    cause: InfrastructureError | None = infrastructure_of(Trail((), None), Ended(1), tmp_path)
    assert isinstance(cause, InterpreterGoneError)
    assert infrastructure_of(Trail((), {"outcome": "passed"}), Ended(0), tmp_path) is None


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
