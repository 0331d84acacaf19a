"""What the bench itself costs: the quick tier, or a fifth of it, and what it adds to each cell."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import bench, pinned  # noqa: F401 - fixtures

pytestmark = [pytest.mark.real, pytest.mark.alone]

FIFTH_OF_IT_S = 80.0
"""Each cell is served twice: once for all that is checked, and once to be timed, in a fresh process."""
FIFTH = ("custom-operator", "resnet18")
"""One that no exporter takes, and one of torchvision's, which all but one take."""

THREE_LAUNCHES_S = 480.0
ADDED_MEDIAN_S = 0.7
ADDED_LARGEST_S = 1.5


def added_s(record: dict[str, Any]) -> float:
    """Seconds of a cell less those that import, build, convert, load, execute, probe and time."""
    details = record["details"]["seconds"]
    accounted: float = sum(s for part in details.values() for stage, s in part.items() if stage != "whole")
    return float(record["row"]["duration_s"]) - accounted - timed_s(record)


def timed_s(record: dict[str, Any]) -> float:
    """Seconds of a cell's launches."""
    return sum(float(launch["seconds"]) for launch in record["details"].get("launches", ()))


@pytest.mark.long
def test_the_quick_tier_with_three_launches_and_the_share_that_is_timing(
    bench: Callable[..., subprocess.CompletedProcess[str]],  # noqa: F811
    pinned: Callable[[str], Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    pinned("torch2.0")
    started = time.monotonic()
    done = bench("torch2.0", "--tier=quick", "--launches=3", "--out", tmp_path)
    seconds = time.monotonic() - started
    assert done.returncode in (0, 1), done.stdout + done.stderr
    records = [json.loads(p.read_text(encoding="utf-8")) for p in (tmp_path / "records").glob("*.json")]
    timed = sum(map(timed_s, records))
    print(f"\n{len(records)} cells in {seconds:.0f} s, of which timing took {timed:.0f} s, {timed / seconds:.0%}")
    assert all(record["row"]["launches"] == 3 for record in records if record["row"]["outcome"] == "passed")
    added = sorted(added_s(record) for record in records if record["row"]["outcome"] == "passed")
    assert statistics.median(added) <= ADDED_MEDIAN_S
    assert added[-1] <= ADDED_LARGEST_S
    assert seconds <= THREE_LAUNCHES_S


def test_a_fifth_of_the_quick_tier_and_what_the_bench_adds_to_a_cell(
    bench: Callable[..., subprocess.CompletedProcess[str]],  # noqa: F811
    pinned: Callable[[str], Path],  # noqa: F811
    benchmark: Any,
    tmp_path: Path,
) -> None:
    pinned("torch2.0")  # installing is not what is timed
    models = [f"--models={model}" for model in FIFTH]

    def quick() -> None:
        done = bench("torch2.0", "--tier=quick", "--launches=1", *models, "--out", tmp_path)
        assert done.returncode in (0, 1), done.stdout + done.stderr

    benchmark.pedantic(quick, rounds=1, iterations=1)
    records = [json.loads(p.read_text(encoding="utf-8")) for p in (tmp_path / "records").glob("*.json")]
    added = sorted(added_s(record) for record in records if record["row"]["outcome"] == "passed")
    benchmark.extra_info.update(cells=len(records), added_median_s=statistics.median(added), added_largest_s=added[-1])
    print(
        f"\n{len(records)} cells; added to a cell: median {statistics.median(added):.2f} s, at most {added[-1]:.2f} s"
    )
    assert benchmark.stats.stats.max <= FIFTH_OF_IT_S
    assert statistics.median(added) <= ADDED_MEDIAN_S
    assert added[-1] <= ADDED_LARGEST_S
