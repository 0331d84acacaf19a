"""Tables at scale: two large ones held against each other, by this code and by that of before, and a long history."""

from __future__ import annotations

import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from harness.tables.history import history
from harness.tables.writing import write_table
from tests.benchmarks import tables_at_scale
from tests.tables.samples import failed, passed, table

ROOT = Path(__file__).resolve().parents[2]
BEFORE = "d1ed9bc"
"""The last commit whose tables were read and compared row by row alone."""

ROWS = 100_000
TIMES_AS_FAST = 7.0
HISTORY_S = 2.0


def code_of(commit: str, folder: Path) -> Path:
    """The harness and its tests as they were at a commit."""
    command = ["git", "-C", str(ROOT), "archive", commit, "harness", "tests"]
    packed = subprocess.run(command, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"{commit} is not in this clone")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def run(code: Path, bytecode: Path, *arguments: object) -> Any:
    """What `tables_at_scale` prints, run in a process of its own with the harness of `code`."""
    command = [sys.executable, tables_at_scale.__file__, *map(str, arguments)]
    # With bytecode, as an ordinary installation has it.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"PYTHONPATH": str(code), "PYTHONPYCACHEPREFIX": str(bytecode)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, cwd=code)
    return json.loads(done.stdout) if done.stdout else None


@pytest.mark.long
@pytest.mark.alone
def test_large_tables_are_compared_faster_than_row_by_row(tmp_path: Path) -> None:
    codes = {"before": code_of(BEFORE, tmp_path / "before"), "now": ROOT}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in codes}
    for name, code in codes.items():  # each by its own schema
        run(code, tmp_path / "bytecode", "make", tmp_path / f"{name}-tables", ROWS)
    for _ in range(3):
        for name, code in codes.items():
            found[name].append(run(code, tmp_path / "bytecode", "judge", tmp_path / f"{name}-tables"))
    times_as_fast = {}
    for clock in ("seconds", "cpu_s"):
        before, now = (statistics.median(each[clock] for each in found[name]) for name in ("before", "now"))
        times_as_fast[clock] = before / now
        print(
            f"\n{found['now'][0]['rows']} rows, {clock}: {before:.2f} and {now:.2f}, {before / now:.1f} times as fast"
        )
    assert len({each["told"] for runs in found.values() for each in runs}) == 1
    assert times_as_fast["cpu_s"] >= TIMES_AS_FAST, "of CPU time, which others on the machine hardly change"


@pytest.mark.long
@pytest.mark.alone
def test_a_history_over_a_million_rows_is_there_in_two_seconds(tmp_path: Path) -> None:
    made = [
        passed(f"m{model:03}", f"s{strategy:02}")
        if (model + strategy) % 4
        else failed(f"m{model:03}", f"s{strategy:02}")
        for model in range(100)
        for strategy in range(100)
    ]
    first = write_table(tmp_path / "results", table(*made, started="2026-01-01T00:00:00Z"))
    for number in range(1, 100):
        other = first.with_name(f"2026{1 + number // 28:02}{1 + number % 28:02}T000000Z")
        shutil.copytree(first, other)
        stated = json.loads((other / "run.json").read_text())
        stated["started"] = f"2026-{1 + number // 28:02}-{1 + number % 28:02}T00:00:00Z"
        (other / "run.json").write_text(json.dumps(stated))
    started = time.perf_counter()
    found = history(tmp_path / "results", ["m050/s05"], cache=tmp_path / "cache")
    cold_s = time.perf_counter() - started
    assert len(found.sightings) == 100
    for cells, expected in ((["torch2.0/m050/s05"], 100), (["m05?/s05"], 1000), (["m050/*"], 10_000)):
        spent = []
        for _ in range(5):
            started = time.perf_counter()
            found = history(tmp_path / "results", cells, cache=tmp_path / "cache")
            spent.append(time.perf_counter() - started)
        took = f"{statistics.median(spent):.2f} s, cold {cold_s:.0f} s"
        print(f"\n{cells}: {len(found.sightings)} of a million rows in {took}")
        assert len(found.sightings) == expected
        assert statistics.median(spent) < HISTORY_S
