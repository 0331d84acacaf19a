"""JSON: the verdict with every changed cell, the file of its record, and who is to blame.

`verdict.schema.json` beside this module is its JSON Schema, made from these classes (`python -m tests.documents`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter

from harness.bench.record import Record
from harness.bump.schema import Blame, Bump, Package, TrialEntry, WayOut
from harness.report.duelled import latency_as_json
from harness.report.shifts import memory_as_json
from harness.report.wording import plain
from harness.tables.schema import Table
from harness.verdict.comparison import CellChange, Comparison
from harness.verdict.gate import Verdict

SCHEMA_VERSION = 1
SCHEMA = Path(__file__).with_name("verdict.schema.json")

_STRICT = ConfigDict(extra="forbid")
_LONGEST = 2000

FileOf = Callable[[Table, str, str], str]
"""The file of the record of a model and a strategy in a table."""


@dataclass(frozen=True, kw_only=True)
class SideTold:
    """One side: the name of its combination, the folder of its table, and what it pins."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    combination: str
    table: str
    pins: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class RecordTold:
    """What became of a cell on one side; `record` is the file that has all of it, empty where there is none."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    outcome: str
    stage: str
    error: str | None
    fingerprint: str | None
    record: str


@dataclass(frozen=True, kw_only=True)
class CellTold:
    """A cell that did not pass on both sides; a side is null where it has no record."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cell: str
    category: str
    base: RecordTold | None
    candidate: RecordTold | None
    by_policy: str


@dataclass(frozen=True, kw_only=True)
class VerdictTold:
    """All of it. `decision` is null where nobody asked for a verdict.

    `moves` to `ways_out` are there where it was looked for who is to blame, as in `bump.json`. `latency` is what a duel
    told, null where there was none; `memory` what the tables tell of cells that pass.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    schema_version: int
    decision: str | None
    exit_code: int
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    base: SideTold
    candidate: SideTold
    latency: dict[str, Any] | None
    memory: dict[str, Any] | None
    cells: tuple[CellTold, ...]
    moves: tuple[Package, ...] = ()
    trials: tuple[TrialEntry, ...] = ()
    blames: tuple[Blame, ...] = ()
    ways_out: tuple[WayOut, ...] = ()


def schema() -> str:
    """The text of the JSON Schema."""
    made = TypeAdapter(VerdictTold).json_schema(mode="validation")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A verdict of conversion-harness"}
    return json.dumps({**made, **head}, indent=1) + "\n"


def document(comparison: Comparison, verdict: Verdict | None, bump: Bump | None, *, file_of: FileOf) -> str:
    """The text of the document. What was never looked for has no key."""
    told = VerdictTold(
        schema_version=SCHEMA_VERSION,
        decision=verdict.decision.value if verdict else None,
        exit_code=verdict.exit_code if verdict else 0,
        reasons=verdict.reasons if verdict else (),
        notes=(*comparison.notes, *(verdict.notes if verdict else ())),
        base=_side(comparison, 0),
        candidate=_side(comparison, 1),
        latency=latency_as_json(verdict) if verdict else None,
        memory=memory_as_json(comparison, verdict) if verdict else None,
        cells=tuple(_cell(comparison, change, verdict, file_of) for change in comparison.changes if not change.passed),
        **({name: getattr(bump, name) for name in ("moves", "trials", "blames", "ways_out")} if bump else {}),
    )
    values = asdict(told)
    if bump is None:
        values = {k: v for k, v in values.items() if k not in ("moves", "trials", "blames", "ways_out")}
    return as_text(values)


def as_text(values: Mapping[str, Any]) -> str:
    """Plain values as JSON."""
    return json.dumps(values, indent=1, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"{type(value).__name__} has no place in JSON"
    raise TypeError(msg)


def _side(comparison: Comparison, side: int) -> SideTold:
    table = comparison.tables[side]
    return SideTold(combination=table.run.combination, table=str(table.folder), pins=dict(table.run.pins))


def _cell(comparison: Comparison, change: CellChange, verdict: Verdict | None, file_of: FileOf) -> CellTold:
    def side(record: Record | None, table: Table) -> RecordTold | None:
        if record is None:
            return None
        return RecordTold(
            outcome=record.outcome.value,
            stage=record.stage.value,
            error=None if record.error is None else plain(record.error, length=_LONGEST),
            fingerprint=record.fingerprint,
            record=file_of(table, change.model, change.strategy),
        )

    before, after = comparison.tables
    return CellTold(
        cell=change.name,
        category=change.category.value,
        base=side(change.base, before),
        candidate=side(change.candidate, after),
        by_policy=verdict.by_policy(change) if verdict else "",
    )
