"""The harness's latency beside that of a loop by hand, for each runtime alone, of a small call and of a long one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.benchmarks.agreement import STRATEGIES
from tests.real.conftest import ROOT

pytestmark = [pytest.mark.real, pytest.mark.alone, pytest.mark.long]


def test_no_cell_differs_from_a_loop_by_hand_by_more_than_the_bar() -> None:
    how = [*(f"--strategies={name}" for name in STRATEGIES[:4]), "--sizes=few", "--sizes=medium", "--core=0"]
    command = [sys.executable, "-m", "tests.benchmarks.agreement", "torch2.0", "--restart", *how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    print(f"\n{done.stdout}")
    assert len(rows) == 8
    assert not [row for row in rows if "**beyond**" in row]
