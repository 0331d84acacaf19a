"""The launches that a record's details tell of: a row each for the table, and their raw samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict

from harness.bench.latency import quartiles
from harness.bench.record import Record
from harness.tables.decoding import decode
from harness.tables.launches import Launch


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One launch as the bench keeps it in a record's details; what else these say of it is passed over.

    `samples_s` has seconds a call, one figure a round of `calls` calls.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    started: str
    samples_s: tuple[float, ...]
    calls: int = 1
    warm_up_s: float | None = None
    steady: bool | None = None
    drift: float | None = None
    busy_cores: float | None = None
    load_s: float | None = None
    rss_base_mb: float | None = None
    rss_import_mb: float | None = None
    rss_load_mb: float | None = None
    rss_peak_mb: float | None = None

    def launch(self, record: Record, number: int) -> Launch:
        """The row of it: `number` counts the launches of a cell that were timed, from 0."""
        found = quartiles(self.samples_s)
        return Launch(
            extension=record.extension,
            model=record.model,
            strategy=record.strategy,
            device=record.device,
            launch=number,
            started=self.started,
            latency_ms=found.median_s * 1000,
            q1_ms=found.q1_s * 1000,
            q3_ms=found.q3_s * 1000,
            rounds=len(self.samples_s),
            calls=self.calls,
            warm_up_s=self.warm_up_s,
            steady=self.steady,
            drift=self.drift,
            busy_cores=self.busy_cores,
            load_s=self.load_s,
            rss_base_mb=self.rss_base_mb,
            rss_import_mb=self.rss_import_mb,
            rss_load_mb=self.rss_load_mb,
            rss_peak_mb=self.rss_peak_mb,
        )


@dataclass(frozen=True, kw_only=True)
class _Details:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    launches: tuple[Timing, ...] = ()


def timings_in(details: Mapping[str, Any], *, where: str) -> tuple[Timing, ...]:
    """The launches of a record's `details` that were timed, in the order of time.

    Raises `UsageError` with the path to the first wrong key; `where` names the file.
    """
    found = decode(_Details, {"launches": details.get("launches", ())}, where=where, prefix="details")
    return tuple(each for each in found.launches if each.samples_s)
