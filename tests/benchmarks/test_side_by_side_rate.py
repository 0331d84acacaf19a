"""What cells side by side bring: how many a minute, and what the quick tier takes as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import pytest

from harness.bench.attempt import Attempt
from harness.executors.local import memory_mb
from harness.tables.reading import read_table
from tests.real.conftest import ROOT, harness, pinned  # noqa: F401 - fixtures

pytestmark = [pytest.mark.alone, pytest.mark.long]

LEAST_GAIN = 1.5
MOST_S = 360.0
COMBINATION = "torch2.0"


@pytest.fixture(autouse=True)
def two_cores() -> None:
    if len(os.sched_getaffinity(0)) < 2 or memory_mb() < 2 * 8192:
        pytest.skip("two jobs need two cores and 16 GiB")


def _run_s(harness: Callable[..., subprocess.CompletedProcess[str]], results: Path, *more: str) -> float:  # noqa: F811
    began = time.monotonic()
    done = harness("run", COMBINATION, "--tier", "quick", "--device", "cpu", "--results", results, "--restart", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - began


def _outcomes(results: Path) -> Mapping[tuple[str, str], object]:
    (run,) = results.rglob("run.json")
    return {(r.model, r.strategy): (r.outcome, r.stage, r.fingerprint) for r in read_table(run.parent).records}


def _phase_s() -> float:
    """Seconds from when the attempt that was last at work began to its last cell's end."""
    attempts = (ROOT / ".harness" / "attempts" / COMBINATION).glob("*/events.jsonl")
    newest = Attempt(max(attempts, key=lambda path: path.stat().st_mtime).parent)
    stated = newest.read()
    assert stated is not None
    ends = [end for each in newest.spans().values() for _, end in each]
    return max(ends) - datetime.fromisoformat(stated["started"]).timestamp()


def test_two_jobs_run_half_as_many_cells_again_a_minute(
    harness: Callable[..., subprocess.CompletedProcess[str]],  # noqa: F811
    pinned: Callable[[str], Path],  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pinned(COMBINATION)
    _run_s(harness, tmp_path / "warm", "--models", "gru", "--launches", "0", "--jobs", "1")
    seconds: dict[int, list[float]] = {1: [], 2: []}
    outcomes = []
    # A machine that is shared gets faster and slower within minutes: in this order either has as much of both.
    for number, jobs in enumerate((1, 2, 2, 1)):
        _run_s(harness, tmp_path / str(number), "--launches", "0", "--jobs", str(jobs))
        seconds[jobs].append(_phase_s())
        outcomes.append(_outcomes(tmp_path / str(number)))
    cells = len(outcomes[0])
    rates = {jobs: 60 * cells * len(taken) / sum(taken) for jobs, taken in seconds.items()}
    with capsys.disabled():
        told = {jobs: " and ".join(f"{60 * cells / each:.1f}" for each in taken) for jobs, taken in seconds.items()}
        gain = rates[2] / rates[1]
        print(f"\n{cells} cells a minute: {told[1]} by one job, {told[2]} by two, x{gain:.2f}", file=sys.stderr)
    assert all(each == outcomes[0] for each in outcomes)
    assert rates[2] / rates[1] >= LEAST_GAIN


def test_the_quick_tier_with_three_launches_takes_six_minutes_at_most(
    harness: Callable[..., subprocess.CompletedProcess[str]],  # noqa: F811
    pinned: Callable[[str], Path],  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pinned(COMBINATION)
    taken = _run_s(harness, tmp_path, "--launches", "3")
    (run,) = tmp_path.rglob("run.json")
    table = read_table(run.parent)
    told = table.run
    assert told.ended is not None
    within = datetime.fromisoformat(told.ended) - datetime.fromisoformat(told.started)
    cells = len(table.records)
    with capsys.disabled():
        of_cells = within.total_seconds()
        print(f"\n{cells} cells, three launches: {taken:.0f} s, of which {of_cells:.0f} s are cells", file=sys.stderr)
    assert all(record.launches == 3 for record in table.records if record.outcome.value == "passed")
    assert taken <= MOST_S
