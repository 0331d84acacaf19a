"""Real processes: what they use, how their whole group ends, and what is left of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.bench import memory
from harness.bench.processes import Ended, Limits, Warm, WarmError, child_environ, kill_session, watch

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(timeout_s=20.0, memory_limit_mb=2000)


class Script:
    """A Python process that leads its own session, as the bench's children do."""

    def __init__(self, code: str, *arguments: str | Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, start_new_session=True
        )
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()


def _alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_process_that_ends_is_told_with_its_exit_code() -> None:
    assert watch(Script("raise SystemExit(3)"), LIMITS).returncode == 3
    ended = watch(Script("import os; os.kill(os.getpid(), 11)"), LIMITS)
    assert (ended.returncode, ended.stopped, ended.oom_killed) == (-11, "", False)


SPAWNS = """
import os, subprocess, sys, time
from pathlib import Path
pids = [os.getpid()]
for own_session in (False, True):
    child = f"import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    p = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, start_new_session=own_session)
    pids += [p.pid, int(p.stdout.readline())]
Path(sys.argv[1]).write_text(" ".join(map(str, pids)))
{then}
"""


def _spawned(path: Path, then: str, limits: Limits) -> tuple[Ended, list[int]]:
    ended = watch(Script(SPAWNS.replace("{then}", then), path), limits)
    return ended, [int(pid) for pid in path.read_text(encoding="utf-8").split()]


def test_a_timeout_ends_the_whole_group_and_what_has_a_session_of_its_own(tmp_path: Path) -> None:
    ended, pids = _spawned(tmp_path / "pids", "time.sleep(60)", Limits(timeout_s=2.5, memory_limit_mb=2000))
    assert (ended.stopped, ended.returncode) == ("timed-out", -9)
    assert len(pids) == 5
    assert _until(lambda: not any(map(_alive, pids)))


def test_what_a_process_leaves_running_ends_with_it(tmp_path: Path) -> None:
    ended, pids = _spawned(tmp_path / "pids", "", LIMITS)
    assert (ended.stopped, ended.returncode) == ("", 0)
    assert _until(lambda: not any(map(_alive, pids[:3])))
    for pid in filter(_alive, pids[3:]):  # a session of its own whose parent has ended is nobody's to find
        kill_session(pid)


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
    watch(script, LIMITS, seen.update)
    assert script.pid in seen
    assert len(seen) >= 2


def test_an_exception_while_watching_leaves_no_process() -> None:
    script = Script("import time; time.sleep(60)")

    def interrupt(_: list[int]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(script, LIMITS, interrupt)
    assert _until(lambda: script.poll() is not None)


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    child = (
        "import time; from harness.bench.processes import die_with_parent; "
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
    assert _until(lambda: path.exists() and path.read_text(encoding="utf-8") != "")
    pid = int(path.read_text(encoding="utf-8"))
    assert _alive(pid)
    os.kill(script.pid, 9)
    assert _until(lambda: script.poll() is not None)
    assert _until(lambda: not _alive(pid))


def test_children_have_equal_threads_and_no_gpu_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    cpu, cuda = child_environ("cpu", 3), child_environ("cuda", 3)
    assert {cpu[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
    assert (cpu["CUDA_VISIBLE_DEVICES"], cuda["CUDA_VISIBLE_DEVICES"]) == ("", "0")
    assert not [name for name in cpu if name.startswith("PYTEST_")]


def test_memory_of_this_process() -> None:
    before = memory.rss_mb()
    kept = bytearray(b"x" * (64 * 2**20))
    assert memory.rss_mb() - before > 50
    assert memory.peak_rss_mb() >= memory.rss_mb() - 1
    assert memory.resident_mb([os.getpid()]) == pytest.approx(memory.rss_mb(), rel=0.05)
    del kept
    if memory.reset_peak():
        assert memory.peak_rss_mb() == pytest.approx(memory.rss_mb(), rel=0.1)


def test_a_process_that_is_gone_has_no_memory_and_no_session() -> None:
    script = Script("")
    assert _until(lambda: script.poll() is not None)
    assert memory.resident_mb([script.pid]) == 0.0
    assert memory.session_members(script.pid) == []
    kill_session(script.pid)


def _request(folder: Path, **values: object) -> Path:
    folder.mkdir()
    path = folder / "request.json"
    path.write_text(json.dumps({"folder": str(folder), **values}), encoding="utf-8")
    return path


def test_a_warm_process_forks_children_that_fail_cleanly(tmp_path: Path) -> None:
    imports = ("json", "there_is_no_such_module")
    warm = Warm(imports, tmp_path / "warm.log", environ=child_environ("cpu", 1), timeout_s=30.0)
    try:
        for number in range(3):
            folder = tmp_path / str(number)
            ended = watch(warm.fork(_request(folder, job="nothing", plan={"version": 99}), cwd=folder), LIMITS)
            assert (ended.returncode, ended.stopped) == (0, "")
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            assert (result["outcome"], result["error_type"]) == ("failed", "UsageError")
    finally:
        warm.close()
    assert memory.session_members(warm._process.pid) == []


def test_a_warm_process_that_is_gone_says_so(tmp_path: Path) -> None:
    warm = Warm(("json",), tmp_path / "warm.log", environ=child_environ("cpu", 1), timeout_s=30.0)
    kill_session(warm._process.pid)
    warm._process.wait()
    with pytest.raises(WarmError):
        warm.fork(_request(tmp_path / "a"), cwd=tmp_path)
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
