"""Memory that is injected into cells of a few models is found, and between tables of the same nothing is."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.real.conftest import ROOT

MODELS = ("lstm", "transformer-encoder", "embedding-new-zeros")
"""They are small, so that their launches hardly vary: there every shift has to be found."""

pytestmark = [pytest.mark.real, pytest.mark.alone, pytest.mark.long]


def test_what_is_injected_is_found_and_nothing_else() -> None:
    how = [*(f"--models={name}" for name in MODELS), "--comparisons=6", "--injections=3"]
    command = [sys.executable, "-m", "tests.benchmarks.memory_bars", "torch2.0", "--restart", *how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stderr
    assert "alike: 0 alarms in 6 comparisons of 2 tables of 6 cells" in done.stdout
    assert "one cell at a time: 3 of 3 found" in done.stdout
    shared = re.findall(r"^all cells, .*?: 6 of 6 found, .*; the gate says do not merge", done.stdout, re.MULTILINE)
    assert len(shared) == 3
    assert "each cell by itself: 6 of 6 found" in done.stdout
