"""Real processes: how they are started and watched, what they use, and what is told of their end."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.bench import memory
from harness.bench.errors import BenchBrokenError, InterpreterGoneError
from harness.bench.group import KEEPERS, MARKER, Group
from harness.bench.logs import LARGEST, LOG_FILE, tail
from harness.bench.processes import Keeper, KeeperError, Limits, Warm, WarmError, child_environ, start, watch
from tests.bench.children import Kept, Script, alive, until

LIMITS = Limits(timeout_s=20.0, memory_limit_mb=2000)


def test_a_process_that_ends_is_told_with_its_exit_code() -> None:
    assert watch(Script("raise SystemExit(3)"), LIMITS).returncode == 3
    ended = watch(Script("import os; os.kill(os.getpid(), 11)"), LIMITS)
    assert (ended.returncode, ended.stopped, ended.oom_killed) == (-11, "", False)


def test_too_much_memory_ends_the_group() -> None:
    code = "import time\nkept = [bytearray(b'x' * 2**24) for _ in range(40)]\ntime.sleep(60)"
    ended = watch(Script(code), Limits(timeout_s=30.0, memory_limit_mb=200))
    assert (ended.stopped, ended.returncode) == ("out-of-memory", -9)
    assert ended.peak_mb > 200


def test_memory_is_counted_over_the_group() -> None:
    code = """
import subprocess, sys, time
hold = "import time; kept = b'x' * (80 * 2**20); time.sleep(60)"
children = [subprocess.Popen([sys.executable, "-c", hold], start_new_session=bool(own)) for own in range(2)]
time.sleep(60)
"""
    ended = watch(Script(code), Limits(timeout_s=30.0, memory_limit_mb=140))
    assert ended.stopped == "out-of-memory"


def test_samples_are_given_the_groups_processes(tmp_path: Path) -> None:
    seen: set[int] = set()
    code = "import subprocess, time; p = subprocess.Popen(['sleep', '60']); time.sleep(0.5)"
    script = Script(code)
    watch(script, LIMITS, sample=seen.update)
    assert script.pid in seen
    assert len(seen) >= 2


@pytest.mark.parametrize(("quiet", "least", "most"), [(False, 20, 10_000), (True, 1, 12)])
def test_samples_are_as_many_as_are_asked_for_and_few_of_what_is_timed(quiet: bool, least: int, most: int) -> None:
    seen: list[list[int]] = []
    watch(Script("import time; time.sleep(1)"), LIMITS, sample=seen.append, sample_s=0.015, quiet=quiet)
    assert least <= len(seen) <= most


def test_an_exception_while_watching_leaves_no_process() -> None:
    script = Script("import time; time.sleep(60)")

    def interrupt(_: list[int]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(script, LIMITS, sample=interrupt)
    assert until(lambda: script.poll() is not None)


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    child = (
        "import time; from harness.bench.group import die_with_parent; "
        "die_with_parent(); print(1, flush=True); time.sleep(60)"
    )
    parent = f"""
import subprocess, sys, time
from pathlib import Path
p = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE, start_new_session=True)
p.stdout.readline()
Path(sys.argv[1]).write_text(str(p.pid))
time.sleep(60)
"""
    path = tmp_path / "pid"
    script = Script(parent, path)
    assert until(lambda: path.exists() and path.read_text(encoding="utf-8") != "")
    pid = int(path.read_text(encoding="utf-8"))
    assert alive(pid)
    os.kill(script.pid, 9)
    assert until(lambda: script.poll() is not None)
    assert until(lambda: not alive(pid))


def test_children_have_equal_threads_and_no_gpu_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    cpu, cuda = child_environ("cpu", 3), child_environ("cuda", 3, marker="/an/attempt")
    assert {cpu[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
    assert (cpu["CUDA_VISIBLE_DEVICES"], cuda["CUDA_VISIBLE_DEVICES"]) == ("", "0")
    assert not [name for name in cpu if name.startswith("PYTEST_")]
    assert (cpu.get(MARKER), cuda[MARKER]) == (None, "/an/attempt")


@pytest.mark.parametrize(
    ("value", "seen"), [(None, "0"), ("2, 3", "2"), ("GPU-aa,GPU-bb", "GPU-aa"), ("MIG-x", "MIG-x"), ("", "")]
)
def test_a_child_on_cuda_sees_the_first_gpu_alone(value: str | None, seen: str) -> None:
    base = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    assert child_environ("cuda", 1, base=base)["CUDA_VISIBLE_DEVICES"] == seen


def test_memory_of_this_process() -> None:
    before = memory.rss_mb()
    kept = bytearray(b"x" * (64 * 2**20))
    assert memory.rss_mb() - before > 50
    assert memory.peak_rss_mb() >= memory.rss_mb() - 1
    assert memory.resident_mb([os.getpid()]) == pytest.approx(memory.rss_mb(), rel=0.05)
    del kept
    if memory.reset_peak():
        assert memory.peak_rss_mb() == pytest.approx(memory.rss_mb(), rel=0.1)


def test_a_process_that_is_gone_has_no_memory_and_no_group() -> None:
    script = Script("")
    assert script.poll(5.0) == 0
    assert memory.resident_mb([script.pid]) == 0.0
    group = Group(script.pid)
    assert group.members() == []
    group.end()


def test_a_child_has_a_keeper_for_its_parent_and_its_own_session(kept: Kept) -> None:
    child = kept("import os; print(os.getppid(), os.getsid(0) == os.getpid(), os.getcwd(), os.environ.get('X'))")
    assert watch(child, LIMITS).returncode == 0
    assert tail(kept.last / LOG_FILE, 500) == f"{child.keeper} True {kept.last} None\n"
    assert child.keeper != os.getpid()


@pytest.mark.alone
def test_the_end_of_a_child_is_told_at_once(kept: Kept) -> None:
    spent = []
    for _ in range(15):
        started = time.monotonic()
        assert watch(kept("pass"), LIMITS, quiet=True).returncode == 0
        spent.append(time.monotonic() - started)
    bare = []
    for _ in range(15):
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append(time.monotonic() - started)
    assert statistics.median(spent) - statistics.median(bare) < 0.05


def test_a_keeper_serves_on_after_an_interrupted_watch(kept: Kept) -> None:
    def interrupt(_: list[int]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(kept("import time; time.sleep(60)"), LIMITS, sample=interrupt)
    assert watch(kept("raise SystemExit(7)"), LIMITS).returncode == 7


def test_a_child_that_prints_two_gigabytes_is_held_up_and_not_kept(kept: Kept) -> None:
    before = memory.rss_mb()
    code = "import os\nblock = b'x' * 2**20\nfor _ in range(2048): os.write(1, block)\nprint('the end')"
    largest = 0

    def look(_: list[int]) -> None:
        nonlocal largest
        largest = max(largest, (kept.last / LOG_FILE).stat().st_size)

    ended = watch(kept(code), Limits(20.0, 500), sample=look)
    assert (ended.returncode, ended.stopped) == (0, "")
    assert 0 < largest <= LARGEST
    assert (kept.last / LOG_FILE).stat().st_size <= LARGEST
    assert tail(kept.last / LOG_FILE, 8) == "the end\n"
    assert memory.rss_mb() - before < 20


def test_a_child_that_never_stops_printing_is_timed_out(kept: Kept) -> None:
    started = time.monotonic()
    ended = watch(kept("import os\nwhile True: os.write(2, b'y' * 65536)"), Limits(1.0, 500))
    assert ended.stopped == "timed-out"
    assert time.monotonic() - started < 4
    assert (kept.last / LOG_FILE).stat().st_size <= LARGEST


def test_a_child_that_closes_every_descriptor_goes_on(kept: Kept) -> None:
    code = (
        "import os, sys, time; os.closerange(0, 256); time.sleep(0.3); open(sys.argv[1], 'w').write('x'); os._exit(5)"
    )
    told = kept.folder / "told"
    assert watch(kept(code, told), LIMITS).returncode == 5
    assert told.read_text(encoding="utf-8") == "x"


def test_a_child_that_removes_its_folder_is_told_and_the_next_runs(kept: Kept) -> None:
    assert watch(kept("import os, shutil; shutil.rmtree(os.getcwd()); os._exit(4)"), LIMITS).returncode == 4
    assert not kept.last.exists()
    assert tail(kept.last / LOG_FILE, 100) == ""
    assert watch(kept("pass"), LIMITS).returncode == 0


def test_what_cannot_be_begun_is_in_the_log(kept: Kept) -> None:
    gone = kept.folder / "gone"
    child = kept.keeper.child(kept.folder, cwd=gone, command=["/nowhere/python"], environ={})
    assert watch(child, LIMITS).returncode == 1
    assert "FileNotFoundError" in tail(kept.folder / LOG_FILE, 5000)


def test_a_keeper_that_was_killed_says_so_and_its_child_dies_with_it(kept: Kept) -> None:
    child = kept("import time; time.sleep(60)")
    os.kill(kept.keeper.pid, signal.SIGKILL)
    ended = watch(child, LIMITS)
    assert (ended.returncode, ended.keeper_died, ended.stopped) == (-9, True, "")
    assert until(lambda: not alive(child.pid))
    with pytest.raises(KeeperError, match="ended"):
        kept("pass")
    assert kept.keeper.pid not in KEEPERS


def test_an_interpreter_that_has_gone_is_infrastructure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    with pytest.raises(InterpreterGoneError):
        Keeper(None, environ={})


def test_children_that_cannot_be_started_at_all_are_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bench.processes._bare", {})
    monkeypatch.setattr("harness.bench.processes.LAUNCHER", tmp_path / "no-such-launcher.py")
    with pytest.raises(BenchBrokenError, match="children cannot be started"):
        start("serve", tmp_path, cwd=tmp_path, environ=dict(os.environ))


def _request(folder: Path, role: str) -> Path:
    folder.mkdir()
    (folder / "request.json").write_text(json.dumps({"folder": str(folder), "role": role}), encoding="utf-8")
    return folder


def test_a_warm_process_forks_children_that_fail_cleanly(tmp_path: Path) -> None:
    imports = ("json", "there_is_no_such_module")
    warm = Warm(imports, tmp_path / "warm.log", environ=child_environ("cpu", 1), timeout_s=30.0)
    try:
        for number in range(3):
            folder = _request(tmp_path / str(number), "converting")
            ended = watch(warm.fork(folder, cwd=folder), LIMITS)
            assert (ended.returncode, ended.stopped) == (0, ""), tail(folder / LOG_FILE, 5000)
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            assert (result["outcome"], result["error_type"]) == ("failed", "TypeError")
    finally:
        warm.close()
    assert not alive(warm.pid)


def test_a_warm_process_that_is_gone_says_so(tmp_path: Path) -> None:
    warm = Warm(("json",), tmp_path / "warm.log", environ=child_environ("cpu", 1), timeout_s=30.0)
    os.kill(warm.pid, signal.SIGKILL)
    folder = _request(tmp_path / "a", "converting")
    with pytest.raises(WarmError):
        watch(warm.fork(folder, cwd=folder), LIMITS)
    warm.close()


@pytest.mark.parametrize(
    ("body", "timeout_s", "told"),
    [("import os; os.abort()", 20.0, "ended while importing"), ("import time; time.sleep(60)", 0.8, "did not answer")],
)
def test_an_import_that_kills_or_hangs_ends_the_warm_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, timeout_s: float, told: str
) -> None:
    (tmp_path / "deadly_import.py").write_text(body, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WarmError, match=told):
        Warm(("deadly_import",), tmp_path / "warm.log", environ=child_environ("cpu", 1), timeout_s=timeout_s)
