"""What a sketch costs: at most 0.1 s for a million values, in each pinned environment's numpy."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.bench.bits import uniform
from harness.bench.sketch import sampled
from tests.real.conftest import ROOT, pinned  # noqa: F401 - a fixture

MILLION = 1_000_000
LIMIT_S = 0.1

TIMED = """
import json, sys, time
sys.path.append(sys.argv[1])
from harness.bench.bits import uniform
from harness.bench.sketch import sampled
values = uniform((1_000_000,), seed="cost")
seconds = []
for _ in range(9):
    started = time.perf_counter()
    sampled(values)
    seconds.append(time.perf_counter() - started)
print(json.dumps(seconds))
"""


@pytest.mark.alone
def test_a_sketch_of_a_million_values_here(benchmark: Any) -> None:
    benchmark.pedantic(sampled, args=(uniform((MILLION,), seed="cost"),), rounds=9, warmup_rounds=1)
    assert benchmark.stats.stats.median <= LIMIT_S


@pytest.mark.real
@pytest.mark.parametrize("name", ["torch2.0", "torch2.1"])
def test_a_sketch_of_a_million_values_in_a_pinned_environment(
    pinned: Callable[[str], Path],  # noqa: F811
    name: str,
) -> None:
    done = subprocess.run(
        [str(pinned(name)), "-c", TIMED, str(ROOT)], capture_output=True, text=True, check=True, timeout=120
    )
    seconds = json.loads(done.stdout)
    print(f"\n{name}: median {statistics.median(seconds):.3f} s, at most {max(seconds):.3f} s")
    assert statistics.median(seconds) <= LIMIT_S
