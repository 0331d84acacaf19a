"""What a comparison asks of a cell. Of large tables that alone is read of most cells, and not their whole records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.lazy import ByColumns
from harness.tables.schema import Table

Key = tuple[str, str, str]


class Seen(NamedTuple):
    """The columns of a record that have a say in a comparison and its verdict, under their own names."""

    model: str
    strategy: str
    device: str
    combination: str
    extension: str
    outcome: Outcome
    stage: Stage
    fingerprint: str | None
    tolerance: float | None
    relative_error: float | None
    probes_relative_error: float | None
    probes_passed: int | None
    model_digest: str | None
    weights_digest: str | None
    strategy_digest: str | None
    identity: str | None
    carried_from: str | None
    provider: str | None
    latency_ms: float | None
    rss_import_mb: float | None
    rss_load_mb: float | None
    rss_peak_mb: float | None
    rss_source: str | None

    @property
    def cell(self) -> Key:
        """What identifies the cell among the cells of any run: model, strategy, device."""
        return self[:3]

    def seen_at(self, started: str) -> str:
        """When the run started that ran the cell; `started` is when that of its table did."""
        return self.carried_from or started


Row: TypeAlias = Record | Seen
"""A record, or as much of it as a comparison asks."""


def seen(table: Table) -> Sequence[Row]:
    """The rows of a table in their order: its records, where these are made already."""
    records = table.records
    return [Seen._make(each) for each in records.values(Seen._fields)] if isinstance(records, ByColumns) else records
