"""What is kept of trials: for each a folder with its lock, what it is a trial of, its records and its artifacts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.bench.environment import pins_of
from harness.bench.plan import slug_of
from harness.bench.record import now, write_json
from harness.bump.moves import Mix
from harness.bump.trials import TrialCell
from harness.matrix import locks
from harness.matrix.requirements.closing import Closed

KEPT = "kept"
"""The folder in a trial's with what its conversions left."""
_TRIAL = "trial.json"


@dataclass(frozen=True)
class KeptTrial:
    """The folder of a trial."""

    root: Path
    folder: Path

    def file(self, cell: TrialCell, digest: str, of: str) -> Path:
        """Where the record of a cell lies: of its files' `digest`, and of the trial whose artifact it served."""
        crossed = f"--of-{of}" if of else ""
        return self.folder / f"{slug_of(*cell)}{crossed}--{digest}.json"

    def has_artifact(self, cell: TrialCell) -> bool:
        """Whether what converting `cell` left is still there, or could never be."""
        folder = self.folder / KEPT / slug_of(*cell)
        return folder.is_dir()

    @property
    def reason(self) -> str:
        """Why it could not be installed."""
        told = read_kept(self.folder / _TRIAL)
        return str(told["reason"]) if told else ""

    @property
    def seconds(self) -> float:
        """What it took the last time that anything was run."""
        told = read_kept(self.folder / _TRIAL)
        return float(told["seconds"]) if told else 0.0

    def note(self, mix: Mix, closed: Closed, python: str, *, reason: str, seconds: float, installed: bool) -> None:
        """Write down what it is a trial of."""
        self.folder.mkdir(parents=True, exist_ok=True)
        locks.write_whole(self.folder / "lock.txt", closed.lock.encode())
        stated = {
            "version": 1,
            "mix": asdict(mix) | {"without": sorted(mix.without)},
            "python": python,
            "pins": pins_of(closed.lock),
            "reason": reason,
            "seconds": round(seconds, 1),
            "installed": installed,
            "at": now(),
        }
        write_json(self.folder / _TRIAL, stated)


def read_kept(file: Path) -> dict[str, Any] | None:
    """What was written there; None where nothing was, or nothing whole."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def write_kept(file: Path, value: Mapping[str, Any]) -> None:
    """Write `value` in one step, with the folders around it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, value)
