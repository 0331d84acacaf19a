"""JSON: the verdict with every changed cell, the file of its record, and who is to blame.

`verdict.schema.json` beside this module is its JSON Schema, made from the classes of `told.py`
(`python -m tests.documents`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.bench.record import Record
from harness.bump.schema import Bump
from harness.report.duelled import latency_told
from harness.report.obstacles import NoSolution
from harness.report.outlets.told import (
    SCHEMA_VERSION,
    CellTold,
    NoSolutionTold,
    ObstacleTold,
    RecordTold,
    SideTold,
    VerdictTold,
)
from harness.report.shifts import memory_told
from harness.report.wording import plain
from harness.tables.encoding import plain_value
from harness.tables.schema import Table
from harness.verdict.comparison import CellChange, Comparison
from harness.verdict.gate import Decision, Verdict

SCHEMA = Path(__file__).with_name("verdict.schema.json")

_LONGEST = 2000
_BUMP = ("moves", "trials", "blames", "ways_out")

FileOf = Callable[[Table, str, str], str]
"""The file of the record of a model and a strategy in a table."""


def schema() -> str:
    """The text of the JSON Schema."""
    made = TypeAdapter[Any](VerdictTold | NoSolutionTold).json_schema(mode="validation")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:conversion-harness:verdict:{SCHEMA_VERSION}",
        "title": "A verdict of conversion-harness",
    }
    return json.dumps({**head, **made}, indent=1) + "\n"


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
        latency=latency_told(verdict) if verdict else None,
        memory=memory_told(comparison, verdict) if verdict else None,
        cells=tuple(_cell(comparison, change, verdict, file_of) for change in comparison.changes if not change.passed),
        **({name: getattr(bump, name) for name in _BUMP} if bump else {}),
    )
    values = asdict(told)
    if bump is None:
        values = {k: v for k, v in values.items() if k not in _BUMP}
    return _as_text(values)


def no_solution_document(found: NoSolution) -> str:
    """The text of the document of a candidate without a solution."""
    told = NoSolutionTold(
        schema_version=SCHEMA_VERSION,
        decision=Decision.DO_NOT_MERGE.value,
        exit_code=Decision.DO_NOT_MERGE.exit_code,
        base=found.base.side.name,
        moves=tuple(map(str, found.moves)),
        reason=found.reason,
        stands_in_the_way=tuple(
            ObstacleTold(pins=each.pins, constraints=tuple(sorted(each.constraints)), instead=each.instead)
            for each in found.obstacles
        ),
    )
    return _as_text(asdict(told))


def _as_text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1, default=plain_value) + "\n"


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
