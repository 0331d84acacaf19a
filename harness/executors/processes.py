"""A bench as a process: how it is started in an environment, and how it is ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from harness.bench.attempt import Attempt
from harness.bench.group import MARKER, end_leftovers
from harness.bench.places import CODE, PACKAGE
from harness.bench.signals import deaf
from harness.matrix.environment import clean_environ

_GRACE_S = 20.0


class BenchProcess:
    """Pytest in the environment of the interpreter `python`, with the attempt in `folder` and everything of it begun.

    With `only_waiting` it times what waits, and runs nothing. What other benches of the run have built is in `shared`.
    It dies with the thread that started it.
    """

    def __init__(
        self,
        python: Path,
        folder: Path,
        *,
        pinned: bool,
        fresh: bool = False,
        only_waiting: bool = False,
        shared: Path | None = None,
    ) -> None:
        self._attempt = Attempt(folder)
        command = [str(python), "-m", "pytest", f"-c{PACKAGE / 'bench' / 'pytest.ini'}"]
        command += ["-pharness.bench", f"--attempt={self._attempt.folder}", f"--parent={os.getpid()}"]
        command += ["-q", "-pno:cacheprovider", "-pno:benchmark"]
        command += [*(["--fresh"] if fresh else []), *(["--only-waiting"] if only_waiting else [])]
        environ = {**clean_environ(pinned=pinned), MARKER: str(self._attempt.folder)}
        command += [f"--shared-builds={shared}"] if shared else []
        with self._attempt.log.open("a", encoding="utf-8") as log:
            # A session of its own: what a terminal sends, it gets from here, once.
            self._process = subprocess.Popen(
                command,
                cwd=CODE,  # pytest puts it on the path; the plugins that write where they are started are left out
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self, timeout_s: float = 0.0) -> int | None:
        """Its exit code, if it ends in time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def ask_to_end(self) -> None:
        """Ask it to end by itself, which removes what its cells left."""
        self._process.terminate()

    def end(self) -> None:
        """Have it end: by itself, or killed where it does not in time; and with it all that it started."""
        with deaf():
            self.ask_to_end()
            if self.ended(_GRACE_S) is None:
                self._process.kill()
                self._process.wait()
            end_leftovers(str(self._attempt.folder))
            with contextlib.suppress(OSError):
                self._attempt.clear_scratch()
