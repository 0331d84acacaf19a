"""A run of several combinations as one: killed in the second, it goes on there, and keeps the first.

A run has a name that lasts until all of it is done, however often it is interrupted in between. An attempt that is
settled under that name has its table already; under any other name it is an older run's, and is made anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from harness.attempts.tasks import Task
from harness.bench.identity import short
from harness.bench.record import now, write_json

_LASTS = timedelta(hours=12)
"""What was interrupted longer ago is another night's: a combination that never comes to an end keeps a run open."""


class Run:
    """A run of `tasks` under `root`; `name` is that of the interrupted one that it goes on with, if there is one."""

    def __init__(self, root: Path, tasks: Sequence[Task], results: Path | None, *, restart: bool = False) -> None:
        self._tasks = tasks
        described = [[asdict(task.plan), str(task.interpreter)] for task in tasks]
        key = short(json.dumps([described, str(results and results.resolve())], sort_keys=True))
        self._file = _folder(root) / f"{key}.json"
        known = None if restart else _read(self._file)
        fresh = known is not None and datetime.now(timezone.utc) - _moment(known["since"]) < _LASTS
        self.name = known["run"] if known and fresh else uuid.uuid4().hex[:12]
        self.since = known["since"] if known and fresh else now()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """While it is under way. It stays open, and is found again, where anything is raised."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        plans = [task.plan for task in self._tasks]
        of = [[p.combination, p.extension, p.device, p.tier, p.selected, p.series] for p in plans]
        stated = {"run": self.name, "since": self.since, "of": of, "pid": os.getpid(), "command": " ".join(sys.argv)}
        write_json(self._file, stated)
        yield
        self.close()

    def close(self) -> None:
        """It is done, or was refused before anything came of it."""
        self._file.unlink(missing_ok=True)


def open_runs(root: Path) -> list[dict[str, Any]]:
    """The runs that did not come to their end: `run` (the name), `since`, and `of`, what each of its tasks is of.

    That is combination, extension, device, tier, whether it was of selected cells, and the series of own models.
    """
    found = (_read(path) for path in sorted(_folder(root).glob("[!.]*.json")))
    return [stated for stated in found if stated is not None]


def command_of(stated: Mapping[str, Any]) -> str:
    """The command that an open run was given by, as it can be typed again; empty where that is not known."""
    return re.sub(r"^\S*/", "", str(stated.get("command", "")))


def _folder(root: Path) -> Path:
    return root / ".harness" / "runs"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        _moment(stated["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return stated if {"run", "of"} <= stated.keys() else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
