"""What cells side by side bring: how many a minute, and what the quick tier takes as a whole."""

from __future__ import annotations

import os
import subprocess
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
) -> None:
    pinned(COMBINATION)
    _run_s(harness, tmp_path / "warm", "--models", "gru", "--launches", "0", "--jobs", "1")
    seconds = {}
    for jobs in (1, 2):
        _run_s(harness, tmp_path / str(jobs), "--launches", "0", "--jobs", str(jobs))
        seconds[jobs] = _phase_s()
    cells = len(_outcomes(tmp_path / "1"))
    rates = {jobs: 60 * cells / taken for jobs, taken in seconds.items()}
    print(f"\n{cells} cells: {rates[1]:.1f} a minute by one job, {rates[2]:.1f} by two, x{rates[2] / rates[1]:.2f}")
    assert _outcomes(tmp_path / "2") == _outcomes(tmp_path / "1")
    assert rates[2] / rates[1] >= LEAST_GAIN


def test_the_quick_tier_with_three_launches_takes_six_minutes_at_most(
    harness: Callable[..., subprocess.CompletedProcess[str]],  # noqa: F811
    pinned: Callable[[str], Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    pinned(COMBINATION)
    taken = _run_s(harness, tmp_path, "--launches", "3")
    (run,) = tmp_path.rglob("run.json")
    table = read_table(run.parent)
    told = table.run
    assert told.ended is not None
    within = datetime.fromisoformat(told.ended) - datetime.fromisoformat(told.started)
    cells = len(table.records)
    print(f"\n{cells} cells, three launches: {taken:.0f} s, of which {within.total_seconds():.0f} s are cells")
    assert all(record.launches == 3 for record in table.records if record.outcome.value == "passed")
    assert taken <= MOST_S
