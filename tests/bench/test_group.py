"""Nobody is left: whatever a child does to get away, and whoever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.bench.group import MARKER, Group, descendants, end_leftovers, processes
from harness.bench.processes import Child, Limits, start, watch
from tests.bench.children import ROOT, Kept, Script, alive, until

LIMITS = Limits(timeout_s=20.0, memory_limit_mb=3000)

# Each leaves the pids of what it started in a file.
ESCAPES = """
import os, subprocess, sys, time
from pathlib import Path

def told(pid):
    with open(sys.argv[1], "a") as file:
        file.write(f"{pid}\\n")

def daemon(environ):
    first = os.fork()
    if first == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        told(os.getpid())
        os.execvpe("sleep", ["sleep", "60"], environ)
    os.waitpid(first, 0)

def child(**how):
    told(subprocess.Popen(["sleep", "60"], **how).pid)

def count():
    return len(Path(sys.argv[1]).read_text().splitlines()) if os.path.exists(sys.argv[1]) else 0

def wait_for(number):
    while count() < number:
        time.sleep(0.01)
"""

WAYS = {
    "in the same session": "child(); wait_for(1)",
    "in a session of its own": "child(start_new_session=True); wait_for(1)",
    "a daemon": "daemon(os.environ); wait_for(1)",
    "a daemon without an environment": "daemon({}); wait_for(1)",
    "a daemon's own children": "daemon(os.environ); child(start_new_session=True); daemon({}); wait_for(3)",
    "200 children": "[child() for _ in range(200)]; wait_for(200)",
    "one that ignores SIGTERM": (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "child(start_new_session=True); wait_for(1)"
    ),
}


def _pids(path: Path) -> list[int]:
    return [int(pid) for pid in path.read_text(encoding="utf-8").split()]


@pytest.mark.parametrize("way", WAYS)
def test_what_a_step_that_passes_leaves_running_ends_with_it(kept: Kept, tmp_path: Path, way: str) -> None:
    told = tmp_path / "pids"
    ended = watch(kept(ESCAPES + WAYS[way], told), LIMITS)
    assert (ended.returncode, ended.stopped) == (0, "")
    assert _pids(told)
    assert not [pid for pid in _pids(told) if alive(pid)]


@pytest.mark.parametrize("way", WAYS)
def test_a_step_that_hangs_ends_with_all_that_it_started(kept: Kept, tmp_path: Path, way: str) -> None:
    told = tmp_path / "pids"
    ended = watch(kept(f"{ESCAPES}{WAYS[way]}; time.sleep(60)", told), Limits(1.5, 3000))
    assert (ended.returncode, ended.stopped) == (-9, "timed-out")
    assert _pids(told)
    assert not [pid for pid in _pids(told) if alive(pid)]


@pytest.mark.long  # a race between two processes for two cores: lost once in a while, to be won by the next search
def test_one_that_goes_on_starting_processes_is_ended(kept: Kept, tmp_path: Path) -> None:
    code = """
import os, sys, time
until = time.monotonic() + 10  # one that is not caught must not go on for ever
while time.monotonic() < until:
    pid = os.fork()
    if pid:
        with open(sys.argv[1], "a") as file: file.write(f"{pid}\\n")
        os._exit(0)
    os.setsid()
"""
    told = tmp_path / "pids"
    child = kept(
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {code!r}, sys.argv[1]]); time.sleep(1)",
        told,
    )
    assert watch(child, LIMITS).returncode == 0
    before = len(_pids(told))
    assert before > 100
    assert not until(lambda: len(_pids(told)) > before, 0.3)


def test_thousands_of_threads_are_one_process(kept: Kept) -> None:
    code = "import threading, time\nfor _ in range(3000): threading.Thread(target=time.sleep, args=(60,)).start()"
    child = kept(code)
    ended = watch(child, Limits(timeout_s=4.0, memory_limit_mb=3000))
    assert ended.stopped == "timed-out"
    assert not alive(child.pid)


def test_a_process_without_its_first_thread_is_ended(kept: Kept, tmp_path: Path) -> None:
    code = """
import ctypes, sys, threading, time
def count():
    while True:
        open(sys.argv[1], "w").write(str(time.monotonic()))
        time.sleep(0.01)
threading.Thread(target=count).start()
time.sleep(0.2)
ctypes.CDLL(None).pthread_exit(None)
"""
    beat = tmp_path / "beat"
    child = kept(
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {code!r}, sys.argv[1]], "
        "start_new_session=True); time.sleep(1.5)",
        beat,
    )
    assert watch(child, LIMITS).returncode == 0
    last = beat.read_text(encoding="utf-8")
    assert not until(lambda: beat.read_text(encoding="utf-8") != last, 0.3)


# A bench in small: it adopts, starts one fresh child with the code that it is given, and watches it.
BENCH = """
import sys
from pathlib import Path
from harness.bench.group import MARKER, become_subreaper, end_leftovers, processes
from harness.bench.processes import Limits, watch, Keeper, child_environ

def main(folder, marker, timeout_s, *codes):
    assert become_subreaper()
    environ = child_environ("cpu", 1, marker=marker)
    for code in codes:
        keeper = Keeper(None, environ=environ)
        command = [sys.executable, "-c", code, folder + "/pids"]
        child = keeper.child(Path(folder), cwd=Path(folder), command=command, environ=environ)
        print(watch(child, Limits(float(timeout_s), 3000)), flush=True)

main(*sys.argv[1:])
"""


def _bench(tmp_path: Path, marker: str, timeout_s: float, *codes: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BENCH, tmp_path, marker, timeout_s, *codes]
    return subprocess.Popen([*map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


KILLS_ITS_PARENT = "os.kill(os.getppid(), 9); time.sleep(60)"


@pytest.mark.parametrize("way", WAYS)
def test_a_step_that_kills_its_parent_costs_itself_alone(tmp_path: Path, way: str) -> None:
    bench = _bench(tmp_path, "m", 10, f"{ESCAPES}{WAYS[way]}; {KILLS_ITS_PARENT}", "print('the next')")
    lines = bench.communicate(timeout=20)[0].splitlines()
    assert bench.returncode == 0
    assert "returncode=-9, stopped=''" in lines[0]
    assert "keeper_died=True" in lines[0]
    assert "returncode=0" in lines[1]
    assert not [pid for pid in _pids(tmp_path / "pids") if alive(pid)]


def test_a_step_that_stops_its_parent_is_timed_out_and_the_next_runs(tmp_path: Path) -> None:
    code = "import os, signal, time; os.kill(os.getppid(), signal.SIGSTOP); time.sleep(60)"
    bench = _bench(tmp_path, "m", 1, code, "print('the next')")
    lines = bench.communicate(timeout=20)[0].splitlines()
    assert "stopped='timed-out'" in lines[0]
    assert "returncode=0" in lines[1]


FOREVER = (
    "import os\n" + ESCAPES + "daemon(os.environ); child(start_new_session=True); child(); wait_for(3); time.sleep(60)"
)


FOUND_BY_DESCENT = FOREVER.replace("wait_for(3)", "daemon({}); wait_for(4)")


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_what_a_killed_bench_had_is_ended_at_once(tmp_path: Path, how: str) -> None:
    told = tmp_path / "pids"
    bench = _bench(tmp_path, str(tmp_path), 60, FOUND_BY_DESCENT)
    assert until(lambda: told.exists() and len(_pids(told)) == 4)
    pids = _pids(told)
    (keeper,) = [pid for pid, process in processes().items() if process.parent == bench.pid]
    bench.send_signal(signal.Signals[how])
    bench.wait()
    assert until(lambda: not any(alive(pid) for pid in [*pids, keeper]))


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_the_next_start_ends_what_a_killed_bench_left_whose_keeper_was_killed_too(tmp_path: Path, how: str) -> None:
    told = tmp_path / "pids"
    marker = str(tmp_path)
    bench = _bench(tmp_path, marker, 60, FOREVER)
    assert until(lambda: told.exists() and len(_pids(told)) == 3)
    (keeper,) = [pid for pid, process in processes().items() if process.parent == bench.pid]
    for pid in (bench.pid, keeper):
        os.kill(pid, signal.SIGSTOP)  # neither sees the other go
    os.kill(keeper, signal.SIGKILL)
    os.kill(bench.pid, signal.Signals[how])
    os.kill(bench.pid, signal.SIGCONT)
    bench.wait()
    left = [pid for pid in _pids(told) if alive(pid)]
    assert left, "nothing to find: the test proves nothing"
    other = Script("import time; time.sleep(60)", **{MARKER: f"{marker}-other"})
    try:
        assert end_leftovers(marker) >= len(left)
        assert not [pid for pid in _pids(told) if alive(pid)]
        assert alive(other.pid)
        assert end_leftovers(marker) == 0
    finally:
        Group(other.pid).end()


def test_leftovers_are_neither_this_process_nor_what_is_to_be_spared(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys, time
from harness.bench.group import MARKER, end_leftovers
def sleeper(**environ):
    return subprocess.Popen(["sleep", "60"], env={**os.environ, **environ}, stdout=-3, stderr=-3)  # DEVNULL
spared, found, other = sleeper(), sleeper(), sleeper(**{MARKER: "another"})
deep = subprocess.Popen(["sh", "-c", "env -i sleep 61 & wait"], stdout=-3, stderr=-3)
time.sleep(0.3)
print(end_leftovers(os.environ[MARKER], spare=[spared.pid]))
# A shell may end by itself, in the moment in which what it waits for is killed before it.
print(spared.poll(), found.wait(), deep.wait() in (-9, 0))
# What descends from this process is found, whatever it carries.
print(other.wait())
"""
    environ = {**os.environ, MARKER: str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["4", "None -9 True", "-9"]
    assert end_leftovers(str(tmp_path)) == 1  # the spared one


def test_orphans_of_an_earlier_child_are_no_part_of_the_next(kept: Kept) -> None:
    watch(kept("pass"), LIMITS)
    child = kept("import time; time.sleep(0.5)")
    assert Group(child.pid, child.keeper).members() == [child.pid]
    watch(child, LIMITS)
    assert Group(child.pid, child.keeper).members() == []


def test_the_family_of_a_process() -> None:
    table = processes()
    own = os.getpid()
    assert own in descendants(table, [os.getppid()])
    assert table[own].alive
    assert table[own].parent == os.getppid()
    assert table[own].session == os.getsid(0)


def test_a_fresh_child_comes_up_after_another_killed_the_keeper(tmp_path: Path) -> None:
    """`start` itself, with a role that ends at once: what counts is who its parent was."""
    role = "json.tool"  # no module of the bench, so that the child ends by itself

    def started() -> Child:
        return start(role, tmp_path, cwd=tmp_path, environ=dict(os.environ))

    first = started()
    assert watch(first, LIMITS).returncode == 1
    second = started()
    assert watch(second, LIMITS).returncode == 1
    assert first.keeper == second.keeper != os.getpid()
    os.kill(first.keeper, 9)
    third = started()
    assert watch(third, LIMITS).returncode == 1
    assert third.keeper not in (first.keeper, os.getpid())
