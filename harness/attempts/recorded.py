"""What the bench recorded of a cell, read and checked: its row, and the launches that were timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from harness.bench.errors import UsageError
from harness.bench.latency import quartiles
from harness.bench.plan import slug_of
from harness.bench.record import Record
from harness.executors.orders import CONVERTED_ON, ENDED_ON
from harness.tables.decoding import decode, read_json
from harness.tables.ingredients import HERE
from harness.tables.launches import Launch

REMEDY = "Run the bench again with `--out` naming this folder."


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One launch as the bench keeps it in a record's details; what else these say of it is passed over.

    `samples_s` has seconds a call, one figure a round of `calls` calls.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    started: str
    samples_s: tuple[float, ...] = ()
    calls: int = 1
    warm_up_s: float | None = None
    steady: bool | None = None
    drift: float | None = None
    busy_cores: float | None = None
    gpu_use: str | None = None
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
            gpu_use=self.gpu_use,
            load_s=self.load_s,
            rss_base_mb=self.rss_base_mb,
            rss_import_mb=self.rss_import_mb,
            rss_load_mb=self.rss_load_mb,
            rss_peak_mb=self.rss_peak_mb,
        )


@dataclass(frozen=True, kw_only=True)
class RecordedCell:
    """What the bench recorded of a cell: its row, its launches that were timed, in the order of time, and all of it.

    Of a cell that was carried over, `carried` are the rows of its launches.
    """

    record: Record
    timings: tuple[Timing, ...]
    whole: Mapping[str, Any]
    carried: tuple[Launch, ...] = ()

    @property
    def launches(self) -> list[Launch]:
        """The rows of its launches."""
        return list(self.carried) or [timing.launch(self.record, number) for number, timing in enumerate(self.timings)]

    @property
    def slug(self) -> str:
        """What names its files."""
        return slug_of(self.record.model, self.record.strategy)

    @property
    def reads(self) -> dict[str, str] | None:
        """The files that it was seen to read, path to content; None where the bench did not say."""
        found = (self.whole.get("details") or {}).get("reads")
        return {str(path): str(content) for path, content in found.items()} if isinstance(found, Mapping) else None

    @property
    def ran_on(self) -> tuple[str, ...]:
        """The names of the surroundings that it ran in, as `harness.tables.ingredients.Seen` has them.

        A node says in what it sends where that was made: what waits to be timed, or a record. A record of which only
        what waited came from a node was timed here.
        """
        details = self.whole.get("details") or {}
        converted, ended = details.get(CONVERTED_ON), details.get(ENDED_ON)
        return (str(converted), str(ended or HERE)) if converted else (str(ended or HERE),)

    def without_samples(self) -> dict[str, Any]:
        """All of it but the raw samples."""
        details = dict(self.whole.get("details") or {})
        if "launches" in details:
            details["launches"] = [
                {name: value for name, value in each.items() if name != "samples_s"} for each in details["launches"]
            ]
        return {**self.whole, "details": details}


def read_recorded(path: Path) -> RecordedCell:
    """What a file of the bench's has of a cell. Raises `UsageError` with the path to the first wrong key."""
    where = str(path)
    whole = read_json(path, where=where, remedy=REMEDY)
    row = whole.get("row") if isinstance(whole, Mapping) else None
    if not isinstance(row, Mapping):
        msg = f"{path}: 'row': expected object. This is no record of the bench; move it away."
        raise UsageError(msg)
    known = {each.name for each in fields(Record)}
    for name in row:
        if name not in known:
            msg = f"{path}: the key 'row.{name}' is not known. Make the table with the harness that ran the bench."
            raise UsageError(msg)
    record = decode(Record, row, where=where, prefix="row")
    timings = timings_in(whole.get("details"), where=where)
    carried = decode(_Carried, whole, where=where).launches
    return RecordedCell(record=record, timings=timings, whole=whole, carried=carried)


def timings_in(details: Any, *, where: str) -> tuple[Timing, ...]:
    """The launches of a record's `details` that were timed. Raises `UsageError` as `read_recorded` does."""
    found = decode(_Details, details or {}, where=where, prefix="details")
    return tuple(each for each in found.launches if each.samples_s)


@dataclass(frozen=True, kw_only=True)
class _Carried:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    launches: tuple[Launch, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Details:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    launches: tuple[Timing, ...] = ()
