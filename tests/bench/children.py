"""Children for tests: plain Python processes that do what they are told, started as the bench starts its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harness.bench.processes import Child, Keeper, child_environ

ROOT = Path(__file__).resolve().parents[2]


class Script:
    """A Python process of this one's own that leads a session."""

    keeper = 0
    folder = ROOT

    def __init__(self, code: str, *arguments: str | Path, **environ: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **environ},
            start_new_session=True,
        )
        self.pid = self._process.pid

    def poll(self, timeout_s: float = 0.0) -> int | None:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def forsake(self) -> None:
        raise AssertionError


class Kept:
    """Starts Python code as a child of a keeper, in a folder of its own below `folder`."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.environ = {**child_environ("cpu", 1), "PYTHONPATH": str(ROOT), **environ}
        self.keeper = Keeper(None, environ=self.environ)
        self._count = 0

    def __call__(self, code: str, *arguments: str | Path) -> Child:
        self._count += 1
        self.last = self.folder / f"child-{self._count}"
        self.last.mkdir()
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return self.keeper.child(self.last, cwd=self.last, command=command, environ=self.environ)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def raised(code: str) -> BaseException:
    """The exception that code comes to, with its traceback."""
    try:
        exec(code, {})
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError


def run_job(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A child's job in which a step does what `code` says and then fails."""
    script = """
import sys
from collections.abc import Iterator
from pathlib import Path
from harness.bench.progress import Progress, leave
from harness.bench.stages import Stage
progress = Progress(Path(sys.argv[1]))
progress.enter(Stage.IMPORT, rss_base_mb=1.5)
progress.enter(Stage.CONVERT)
try:
    exec(sys.argv[2], {})
    progress.enter(Stage.VALIDATE)
    raise KeyError("after it")
except BaseException as error:
    progress.fail(error)
leave()
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", script, str(folder), code],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
