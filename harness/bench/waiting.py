"""A cell that came through all but timing, and waits for that: a folder with what it left, and ``waiting.json``.

Timing comes after everything else, alone. What waits outlives a run that was paused, so that the next one need not
convert again what is only to be timed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.bench.record import write_json

WAITING_FILE = "waiting.json"

WAITING_SHARE = 0.25
"""How much of what is free on the disk may wait to be timed."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """`columns` and `details` are what the record has by then; `artifact` is what is served.

    `converted` is what the conversion came to and what it was made of, for whoever keeps the artifact; None where it
    was converted elsewhere.
    """

    columns: Mapping[str, Any]
    details: Mapping[str, Any]
    artifact: Mapping[str, Any]
    converted: tuple[Mapping[str, Any], Mapping[str, Any]] | None

    def write(self, folder: Path) -> None:
        """Say, last of all, that what is in `folder` is whole. The folder may be moved afterwards."""
        value = asdict(self)
        value["artifact"] = _relative(value["artifact"], folder)
        if value["converted"]:
            result, built = value["converted"]
            value["converted"] = _relative(result, folder), built
        write_json(folder / WAITING_FILE, value)


def _relative(told: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What is told of an artifact, its `path` relative to `folder` where it lies in it."""
    path = told.get("path")
    if not path or not Path(os.path.normpath(path)).is_relative_to(folder):
        return dict(told)
    return {**told, "path": os.path.relpath(path, folder)}


def _absolute(told: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {**told, "path": str(folder / told["path"])} if told.get("path") else dict(told)


def read_waiting(folder: Path) -> Waiting | None:
    """What waits in a folder; None where nothing does, or where it cannot be read."""
    try:
        value = json.loads((folder / WAITING_FILE).read_text(encoding="utf-8"))
        converted = value.pop("converted")
        value["artifact"] = _absolute(value["artifact"], folder)
        if converted:
            result, built = converted
            converted = _absolute(result, folder), built
        return Waiting(**value, converted=converted)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
