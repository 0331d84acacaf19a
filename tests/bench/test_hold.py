"""A folder is held by one at a time; a second says who has it and waits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.bench.hold import HOLDER_FILE, held_if_free, hold, holder

ROOT = Path(__file__).resolve().parents[2]


def is_held(folder: Path) -> bool:
    with held_if_free(folder) as free:
        return not free


HOLDING = """
import sys, time
from pathlib import Path
from harness.bench.hold import hold
with hold(Path(sys.argv[1]), "it", print):
    print("has it", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def _holding(folder: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(folder), str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "has it\n"
    return process


def test_a_second_one_says_who_has_it_and_waits(tmp_path: Path) -> None:
    first = _holding(tmp_path, 1.5)
    told: list[str] = []
    started = time.monotonic()
    with hold(tmp_path, "this run of torch2.0", told.append):
        waited = time.monotonic() - started
        assert json.loads((tmp_path / HOLDER_FILE).read_text(encoding="utf-8"))["pid"] != first.pid
    assert waited > 0.5
    assert len(told) == 1
    assert told[0].startswith(f"this run of torch2.0 is held by process {first.pid} since 20")
    assert told[0].endswith("Waiting for it to end.")
    first.wait()
    assert first.stdout is not None
    first.stdout.close()


def test_a_killed_holder_holds_no_more(tmp_path: Path) -> None:
    first = _holding(tmp_path, 60)
    assert is_held(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert first.stdout is not None
    first.stdout.close()
    assert not is_held(tmp_path)
    told: list[str] = []
    with hold(tmp_path, "it", told.append):
        assert told == []


def test_it_is_let_go_whatever_is_raised(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), hold(tmp_path, "it", print):
        raise KeyboardInterrupt
    assert not is_held(tmp_path)
    assert not (tmp_path / HOLDER_FILE).exists()


def test_a_holder_that_left_no_name_is_another_process(tmp_path: Path) -> None:
    assert holder(tmp_path) == "another process"
