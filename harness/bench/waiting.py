"""A cell that came through all but timing, and waits for that: a folder with what it left, and ``waiting.json``.

Timing comes after everything else, alone. What waits outlives a run that was paused, so that the next one need not
convert again what is only to be timed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.bench.record import write_json

WAITING_FILE = "waiting.json"


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
        """Say, last of all, that what is in `folder` is whole."""
        write_json(folder / WAITING_FILE, asdict(self))


def read_waiting(folder: Path) -> Waiting | None:
    """What waits in a folder; None where nothing does, or where it cannot be read."""
    try:
        value = json.loads((folder / WAITING_FILE).read_text(encoding="utf-8"))
        converted = value.pop("converted")
        return Waiting(**value, converted=tuple(converted) if converted else None)
    except (OSError, ValueError, TypeError, KeyError):
        return None
