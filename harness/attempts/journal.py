"""A run of several combinations as one: killed in the second, it goes on there, and keeps the first.

A run has a name that lasts until all of it is done, however often it is interrupted in between. An attempt that is
settled under that name has its table already; under any other name it is an older run's, and is made anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from harness.bench.errors import UsageError
from harness.bench.identity import short
from harness.bench.plan import Plan
from harness.bench.record import now, write_json


class Run:
    """A run of `plans` under `root`; `name` is that of the interrupted one that it goes on with, if there is one."""

    def __init__(self, root: Path, plans: Sequence[Plan], *, restart: bool = False) -> None:
        key = short(json.dumps([asdict(plan) for plan in plans], sort_keys=True))
        self._file = root / ".harness" / "runs" / f"{key}.json"
        known = "" if restart else self._known()
        self.name = known or uuid.uuid4().hex[:12]

    def _known(self) -> str:
        try:
            return str(json.loads(self._file.read_text(encoding="utf-8"))["run"])
        except (OSError, ValueError, KeyError):
            return ""

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """While it is under way. It is closed where all went through, or was refused: what is mended is another run.

        It stays open where anything else was raised, and is found again.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._file, {"run": self.name, "since": now(), "pid": os.getpid(), "command": " ".join(sys.argv)})
        try:
            yield
        except UsageError:
            self._close()
            raise
        self._close()

    def _close(self) -> None:
        self._file.unlink(missing_ok=True)
