"""A table as a grid, models x strategies, before it is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.bench.failure import signature_of
from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.report.latency import care_legend
from harness.report.wording import MARK_LEGENDS, SHORT_ERROR, detail, mark, outcomes, state
from harness.tables.schema import BASELINE, Table, strategy_order
from harness.verdict.comparison import count_of


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Models x strategies. `cells` holds what was planned: None where it has no record."""

    models: tuple[str, ...]
    strategies: tuple[str, ...]
    cells: dict[tuple[str, str], Record | None]

    def planned(self, strategies: Sequence[str]) -> tuple[str, ...]:
        """The models for which any of `strategies` was planned."""
        return tuple(model for model in self.models if any((model, each) in self.cells for each in strategies))


@dataclass(frozen=True, kw_only=True)
class SuccessRate:
    """How many cells passed, of those that can exist and have a record."""

    passed: int
    applicable: int

    def __str__(self) -> str:
        return f"{self.passed}/{self.applicable}" if self.applicable else "n/a"

    @property
    def percent(self) -> str:
        """The rate in whole percent, rounded down, so that only what all cells passed is 100 %."""
        return f"{100 * self.passed // self.applicable} %" if self.applicable else ""


@dataclass(frozen=True, kw_only=True)
class Breakage:
    """Cells that are broken in one way: one state, and one fingerprint."""

    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        """The record whose error is shown for all."""
        return self.records[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The cells without their combination."""
        return tuple(f"{record.model}/{record.strategy}" for record in self.records)


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


def legends(table: Table) -> list[str]:
    """What the marks mean that the grid has on passed cells, and how many there are."""
    counts = Counter(mark(record) for record in table.records)
    marks = [f"{name} ({count_of(counts[name])}): {meaning}." for name, meaning in MARK_LEGENDS.items() if counts[name]]
    return marks + [legend for legend in (care_legend(table.records),) if legend]


def success_rates(table: Table) -> dict[str, SuccessRate]:
    """The success rate of each strategy that has a record."""
    found: dict[str, list[Record]] = {}
    for record in table.records:
        found.setdefault(record.strategy, []).append(record)
    return {
        strategy: SuccessRate(
            passed=sum(record.outcome is Outcome.PASSED for record in records),
            applicable=sum(record.outcome is not Outcome.NOT_APPLICABLE for record in records),
        )
        for strategy, records in found.items()
    }


def breakages(table: Table) -> tuple[Breakage, ...]:
    """The cells that were tried and do not work, by state and cause, what breaks most cells first."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in table.records:
        if record.outcome.broken:
            groups.setdefault((state(record), signature_of(record)), []).append(record)
    found = (Breakage(records=tuple(records)) for records in groups.values())
    return tuple(sorted(found, key=lambda each: -len(each.records)))


def not_applicable(table: Table) -> dict[str, list[Record]]:
    """The records of cells that cannot exist, by the reason, that of most cells first; no reason names its model."""
    found: dict[str, list[Record]] = {}
    for record in table.records:
        if record.outcome is Outcome.NOT_APPLICABLE:
            told = detail(record, length=SHORT_ERROR) or "no reason given"
            reason = told.removeprefix(f"{record.model} ")
            found.setdefault(told if reason == told else f"the model {reason}", []).append(record)
    return dict(sorted(found.items(), key=lambda each: -len(each[1])))
