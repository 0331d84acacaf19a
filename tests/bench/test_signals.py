"""SIGTERM and SIGHUP end what is under way as SIGINT does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.bench.signals import Terminated, raise_on_termination
from tests.bench.children import ROOT, alive, until

# A bench in small, in pytest: it watches a child that has a child with a session of its own.
RUN = """
import subprocess, sys
from pathlib import Path
from harness.bench.processes import Keeper, Limits, child_environ, watch
from harness.bench.signals import Terminated, raise_on_termination

CHILD = '''
import os, subprocess, sys, time
p = subprocess.Popen(["sleep", "60"], start_new_session=True)
open(sys.argv[1], "w").write(f"{os.getpid()} {p.pid}\\\\n")
time.sleep(60)
'''

def test_run():
    folder = Path(FOLDER)
    environ = child_environ("cpu", 1)
    command = [sys.executable, "-c", CHILD, str(folder / "pids")]
    with raise_on_termination():
        try:
            watch(Keeper(None, environ=environ).child(folder, cwd=folder, command=command, environ=environ),
                  Limits(50.0, 2000))
        finally:
            (folder / "cleaned").write_text("yes")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_ends_a_run_of_pytest_with_all_that_it_started(tmp_path: Path, name: str) -> None:
    (tmp_path / "test_run.py").write_text(RUN.replace("FOLDER", repr(str(tmp_path))), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*map(str, command), "test_run.py"], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True
    )
    told = tmp_path / "pids"
    assert until(lambda: told.exists() and told.read_text(encoding="utf-8").endswith("\n"), 15)
    process.send_signal(signal.Signals[name])
    output = process.communicate(timeout=15)[0]
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert (tmp_path / "cleaned").exists()
    assert ("ended by" if name != "SIGINT" else "KeyboardInterrupt") in output
    assert not [pid for pid in map(int, told.read_text(encoding="utf-8").split()) if alive(pid)]


def test_old_handlers_come_back_and_the_signal_is_told() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises(KeyboardInterrupt) as caught, raise_on_termination():
        signal.raise_signal(signal.SIGTERM)
    assert isinstance(caught.value, Terminated)
    assert (caught.value.signal, str(caught.value)) == (signal.SIGTERM, "ended by SIGTERM")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raise_on_termination():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_elsewhere_than_in_the_main_thread_nothing_is_installed() -> None:
    found: list[object] = []

    def within() -> None:
        with raise_on_termination():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=within)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]
