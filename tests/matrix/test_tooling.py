"""Tools end with the harness, however it ends."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.bench.errors import DiskFullError, NotWritableError
from harness.bench.group import MARKER, end_leftovers
from harness.matrix import tooling

ROOT = Path(__file__).resolve().parents[2]

# A tool like tox: it starts another process, as tox starts uv, and both ignore what asks them to end.
_STUBBORN = """
import os, pathlib, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""

# A harness that runs such a tool.
_HARNESS = """
import os, sys
from pathlib import Path
from harness.matrix import tooling
command = [sys.executable, "-c", sys.argv[2], sys.argv[1] + "/pids"]
tooling.run(command, cwd=Path("/"), environ=dict(os.environ), log=Path(sys.argv[1], "log"), marker=sys.argv[1])
"""


def _run(code: str, folder: Path, *arguments: str) -> int:
    return tooling.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        environ=dict(os.environ),
        log=folder / "log",
        marker=str(folder),
    )


def _pids(folder: Path) -> list[int]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if (folder / "pids").exists() and (text := (folder / "pids").read_text(encoding="ascii")):
            return [int(pid) for pid in text.split()]
        time.sleep(0.01)
    pytest.fail("the tool did not start")


def _alive(pid: int) -> bool:
    try:
        stat = Path("/proc", str(pid), "stat").read_text(encoding="ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _all_end(pids: list[int], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(map(_alive, pids)):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", 128 + 9),
        ("import os; os.kill(os.getpid(), 15)", 128 + 15),
    ],
)
def test_the_exit_code_is_the_tools(tmp_path: Path, code: str, expected: int) -> None:
    assert _run(code, tmp_path) == expected


def test_output_is_kept_and_the_marker_carried(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n", encoding="utf-8")
    code = (
        f"import os, sys; print(os.environ[{MARKER!r}]); print(os.getcwd(), file=sys.stderr); print(sys.stdin.read())"
    )
    assert _run(code, tmp_path) == 0
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == sorted(["before", str(tmp_path), str(tmp_path), ""])
    assert tooling.read_from(tmp_path / "log", 7).splitlines() == lines[1:]


def test_a_tool_that_is_not_there(tmp_path: Path) -> None:
    command = [str(tmp_path / "nothing")]
    assert tooling.run(command, cwd=tmp_path, environ={}, log=tmp_path / "log", marker="x") == 127
    assert "could not be started" in (tmp_path / "log").read_text(encoding="utf-8")


def test_what_a_tool_leaves_behind_is_ended(tmp_path: Path) -> None:
    code = """
import subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("pids").write_text(str(child.pid))
"""
    assert _run(code, tmp_path) == 0
    assert _all_end(_pids(tmp_path), within_s=2)


def _end_ourselves(folder: Path) -> None:
    """Once the tool is at work."""
    _pids(folder)
    os.kill(os.getpid(), signal.SIGTERM)


class _EndedError(BaseException):
    """As a signal's handler raises it."""


def test_an_exception_ends_the_whole_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tooling, "_GRACE_S", 0.3)

    def end(*_: object) -> None:
        raise _EndedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        threading.Thread(target=_end_ourselves, args=(tmp_path,)).start()
        with pytest.raises(_EndedError):
            _run(_STUBBORN, tmp_path, str(tmp_path / "pids"))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not any(map(_alive, _pids(tmp_path)))


def test_a_harness_that_is_killed_takes_its_tools_with_it(tmp_path: Path) -> None:
    harness = subprocess.Popen([sys.executable, "-c", _HARNESS, str(tmp_path), _STUBBORN], cwd=ROOT)
    pids = _pids(tmp_path)
    assert all(map(_alive, pids))
    harness.kill()
    harness.wait()
    assert _all_end(pids, within_s=2)


def test_what_is_left_after_harness_and_guard_were_killed_is_found_by_its_marker(tmp_path: Path) -> None:
    harness = subprocess.Popen([sys.executable, "-c", _HARNESS, str(tmp_path), _STUBBORN], cwd=ROOT)
    tool, child = _pids(tmp_path)
    guard = int(Path("/proc", str(tool), "stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    os.kill(guard, signal.SIGSTOP)  # so that it cannot act before it is killed itself
    harness.kill()
    harness.wait()
    os.kill(guard, signal.SIGKILL)
    assert _alive(tool)
    assert end_leftovers(str(tmp_path)) >= 2
    assert not any(map(_alive, (tool, child)))


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, DiskFullError), (errno.EROFS, NotWritableError), (errno.EACCES, NotWritableError)],
)
def test_errors_of_the_disk_are_no_bug(number: int, expected: type[Exception]) -> None:
    with pytest.raises(expected, match=f"doing: .*{os.strerror(number)}"), tooling.told_as_infrastructure("doing"):
        raise OSError(number, os.strerror(number), "/somewhere")


def test_other_errors_are_passed_on() -> None:
    with pytest.raises(FileNotFoundError), tooling.told_as_infrastructure("doing"):
        raise FileNotFoundError(errno.ENOENT, "x")


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    with pytest.raises(DiskFullError, match="No space left on device"), tooling.told_as_infrastructure("doing"):
        (small_disk / "x").write_bytes(b"x" * 2**20)
