"""A table as a grid, models x strategies, before it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.report.wording import SHORT_ERROR, detail, outcomes
from harness.tables.schema import BASELINE, Table, strategy_order


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Models x strategies. `cells` holds what was planned: None where it has no record."""

    models: tuple[str, ...]
    strategies: tuple[str, ...]
    cells: dict[tuple[str, str], Record | None]


def grid_of(table: Table) -> Grid:
    """The grid of a table: models by name, the baseline first among the strategies."""
    planned: dict[tuple[str, str], Record | None] = {(r.model, r.strategy): r for r in table.records}
    for name in table.run.missing:
        model, _, strategy = name.partition("/")
        planned[model, strategy] = None
    strategies = {strategy for _, strategy in planned}
    return Grid(
        models=tuple(sorted({model for model, _ in planned})),
        strategies=tuple(sorted(strategies, key=lambda s: (s != BASELINE, strategy_order(s)))),
        cells=planned,
    )


def summary(table: Table) -> str:
    """How many cells came to what."""
    missing = len(table.run.missing)
    parts = [outcomes(table.records)] if table.records else []
    parts += [f"{missing} without a record"] if missing else []
    return ", ".join(parts) or "no cells"


def broken(table: Table) -> tuple[Record, ...]:
    """The records of cells that were tried and do not work."""
    return tuple(record for record in table.records if record.outcome.broken)


def not_applicable(table: Table) -> dict[str, list[Record]]:
    """The records of cells that cannot exist, by the reason."""
    found: dict[str, list[Record]] = {}
    for record in table.records:
        if record.outcome is Outcome.NOT_APPLICABLE:
            found.setdefault(detail(record, length=SHORT_ERROR) or "no reason given", []).append(record)
    return found
