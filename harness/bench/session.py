"""The bench's output folder: what ran where, the records, and the events that a live display follows."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.bench.plan import Cell, Plan
from harness.bench.record import Record, write_json


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Output:
    """The folder that `--out` names: `plan.json`, `session.json`, `records/*.json`, `natives/*.json`, `events.jsonl`.

    `refusal.txt` is there instead where the bench would not begin: it says why, to `harness run`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = folder / "plan.json"
        self.session = folder / "session.json"
        self.records = folder / "records"
        self.natives = folder / "natives"
        self.events = folder / "events.jsonl"
        self.refusal = folder / "refusal.txt"
        self.settled = folder / "settled"

    def record_of(self, cell: Cell) -> Path:
        """Where the record of a cell is, once there is one."""
        return self.records / f"{cell.slug}.json"

    def recorded(self, plan: Plan) -> list[Cell]:
        """The cells of a plan that have a record."""
        return [cell for cell in plan.cells if self.record_of(cell).exists()]

    def begin(self, plan: Plan, description: Mapping[str, Any], *, resume: bool) -> None:
        """Say what runs where; without `resume`, what an earlier run left is removed first."""
        started = now()
        if not resume:
            shutil.rmtree(self.records, ignore_errors=True)
            shutil.rmtree(self.natives, ignore_errors=True)
            self.events.unlink(missing_ok=True)
        elif self.session.exists():
            started = json.loads(self.session.read_text(encoding="utf-8"))["started"]
        self.records.mkdir(parents=True, exist_ok=True)
        self.natives.mkdir(exist_ok=True)
        write_json(self.plan, plan.to_json())
        write_json(
            self.session,
            {
                "combination": plan.combination,
                "extension": plan.extension,
                "device": plan.device,
                "tier": plan.tier,
                "selected": plan.selected,
                "planned": [[cell.model, cell.strategy] for cell in plan.cells],
                "started": started,
                "ended": None,
                "lock_digest": hashlib.sha256(Path(plan.lock).read_bytes()).hexdigest()[:16] if plan.lock else "",
                "threads": plan.policy.threads,
                "policy": asdict(plan.policy),
                **description,
            },
        )

    def end(self) -> None:
        """Say that the run came to its end."""
        if self.session.exists():
            write_json(self.session, {**json.loads(self.session.read_text(encoding="utf-8")), "ended": now()})

    def started(self, cell: Cell) -> None:
        """Tell that a cell is under way."""
        self._event("started", cell)

    def write(self, cell: Cell, record: Record, details: Mapping[str, Any]) -> None:
        """Keep the record of a cell, and tell that it ended."""
        write_json(self.record_of(cell), {"row": record.to_json(), "details": details})
        self._event("ended", cell, outcome=record.outcome.value, stage=record.stage.value)

    def write_native(self, model: str, native: Mapping[str, Any]) -> None:
        """Keep what was sampled of a model's native outputs."""
        write_json(self.natives / f"{model}.json", native)

    def _event(self, what: str, cell: Cell, **more: str) -> None:
        line = json.dumps({"event": what, "model": cell.model, "strategy": cell.strategy, **more})
        with self.events.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
