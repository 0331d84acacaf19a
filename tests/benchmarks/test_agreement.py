"""The harness's latency beside that of a loop by hand, for each runtime, of the smallest call and of a long one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.real.conftest import ROOT

pytestmark = [pytest.mark.real, pytest.mark.alone, pytest.mark.long]


def test_no_cell_differs_from_a_loop_by_hand_by_more_than_the_bar() -> None:
    sizes = ("--sizes=tiny", "--sizes=medium")
    command = [sys.executable, "-m", "tests.benchmarks.agreement", "torch2.0", "--restart", *sizes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    print(f"\n{done.stdout}")
    assert len(rows) == 12
    assert not [row for row in rows if "**beyond**" in row]
