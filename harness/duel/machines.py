"""What is known of a machine: how cells differ from themselves on it (A/A), in `.harness/machines`.

A machine is its CPU model, its cores and its memory, and on CUDA its GPU. Latencies and thresholds hold for it alone.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.bench.environment import machine
from harness.bench.gpu import describe
from harness.bench.record import now, write_json
from harness.duel.preparing import Key
from harness.duel.thresholds import threshold_of
from harness.executors.machines import differences

_VERSION = 2
_MOST_KEPT = 5
"""How many A/A duels of a cell count, the newest ones: a machine changes with its kernel and its neighbours."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the latency of a cell is of, besides the machine.

    `made_of` stands for the lock, the model and the strategy (`harness.duel.preparing.ReadyCell`), which may change
    under the same names. `gpu` is the GPU's name; empty on the CPU.
    """

    combination: str
    device: str
    threads: int
    made_of: str
    gpu: str = ""


class MachineFile:
    """What is kept of a machine below `root`: of this one, or of the one whose `conditions` a node of a cluster told.

    On the device "cuda", `gpu` is the name of its GPU; else empty.
    """

    def __init__(self, root: Path, device: str, conditions: Mapping[str, Any] | None = None) -> None:
        told = conditions or {"machine": machine(), "gpu": describe().gpu if device == "cuda" else None}
        self.gpu = str((told["gpu"] or {}).get("name", "")) if device == "cuda" else ""
        self.machine: Mapping[str, Any] = {name: value for name, value in told["machine"].items() if name != "os"}
        folder = root / ".harness" / "machines"
        self.name = _known_as(folder, self.machine) or _name_of(self.machine)
        self.path = folder / f"{self.name}.json"

    @property
    def stated(self) -> dict[str, Any]:
        """What is written down of the machine, with the name of its GPU."""
        return {**self.machine, "gpu": self.gpu}

    def is_alike(self, stated: Any) -> bool:
        """Whether the machine of which that was written down is this one, or one whose numbers compare with its own."""
        try:
            return stated["gpu"] == self.gpu and not differences({"machine": stated}, {"machine": self.machine})
        except (KeyError, TypeError):
            return False

    def thresholds(self, settings: Mapping[Key, Sequence[Setting]], *, but: str = "") -> dict[Key, float]:
        """The threshold of each cell that was held against itself under any of its `settings`, as a share.

        What the duel `but` showed does not count: one that goes on is not to be held against its own pairs.
        """
        found: dict[Key, list[Sequence[float]]] = {}
        for entry in self._entries():
            key = entry["model"], entry["strategy"]
            if entry["duel"] != but and _setting_of(entry) in settings.get(key, ()):
                found.setdefault(key, []).append(entry["differences"])
        return {key: threshold_of(found[key]) for key in settings if key in found}

    def learn(self, duel: str, shown: Mapping[Key, tuple[Setting, Sequence[float]]]) -> None:
        """Keep the differences that an A/A duel showed of cells, in the place of what was kept of `duel` before."""
        kept = [entry for entry in self._entries() if entry["duel"] != duel]
        for (model, strategy), (setting, values) in shown.items():
            if values:
                told = {"duel": duel, "at": now(), "model": model, "strategy": strategy, "differences": list(values)}
                kept.append({**told, **vars(setting)})
        counts: dict[tuple[Setting, str, str], int] = {}
        newest = []
        for entry in reversed(kept):
            of = _setting_of(entry), entry["model"], entry["strategy"]
            counts[of] = counts.get(of, 0) + 1
            if counts[of] <= _MOST_KEPT:
                newest.append(entry)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"version": _VERSION, "machine": self.machine, "aa": newest[::-1]})

    def _entries(self) -> list[dict[str, Any]]:
        try:
            told = json.loads(self.path.read_text(encoding="utf-8"))
            entries: list[dict[str, Any]] = told["aa"] if told["version"] == _VERSION else []
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return entries


def _name_of(machine: Mapping[str, Any]) -> str:
    words = f"{machine['cpu']} {machine['cores']} cores {round(machine['memory_mb'] / 1024)} GiB"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def _known_as(folder: Path, machine: Mapping[str, Any]) -> str:
    """The name of what is kept of a machine alike, whose memory may round to another number; empty where none is."""
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(path.read_text(encoding="utf-8"))["machine"]
            if not differences({"machine": kept}, {"machine": machine}):
                return path.stem
    return ""


def _setting_of(entry: Mapping[str, Any]) -> Setting:
    return Setting(**{each.name: entry[each.name] for each in fields(Setting) if each.name in entry})
