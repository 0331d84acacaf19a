"""The rows of an attempt: those that no bench wrote, and how many of each outcome there are."""

from __future__ import annotations

import json

from harness.bench.attempt import Attempt
from harness.bench.consistency import validated
from harness.bench.fingerprint import fingerprint, normalise_paths, shorten
from harness.bench.plan import Cell, Plan, split
from harness.bench.record import Record
from harness.bench.registry import Registry
from harness.bench.stages import Outcome, Stage


def write_row(
    attempt: Attempt,
    plan: Plan,
    registry: Registry,
    cell: Cell,
    *,
    outcome: Outcome,
    stage: Stage,
    error_type: str,
    error: str,
) -> None:
    """Record `cell` as broken, or as one that cannot exist, for a reason that lies outside of it."""
    text = normalise_paths(error)
    model = registry.models[cell.model]
    record = Record(
        combination=plan.combination,
        extension=plan.extension,
        model=cell.model,
        strategy=cell.strategy,
        device=cell.device,
        tier=plan.tier,
        outcome=outcome,
        stage=stage,
        error_type=error_type,
        error=shorten(text),
        fingerprint=fingerprint(error_type, text) if outcome.broken else None,
        # What of a user's own code is installed, only the environment itself can tell.
        model_digest=None if model.own else model.digest,
        strategy_digest=registry.strategy_digest(split(cell.strategy)[0]),
    )
    attempt.write(cell, validated(record), {"error": text})


def outcomes(attempt: Attempt, plan: Plan) -> dict[tuple[str, str], str]:
    """The outcome of each cell of a plan that has a record, by model and strategy."""
    return {
        (cell.model, cell.strategy): json.loads(attempt.record_of(cell).read_text(encoding="utf-8"))["row"]["outcome"]
        for cell in attempt.recorded(plan)
    }
