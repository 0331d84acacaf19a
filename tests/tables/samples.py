"""Records, runs and tables for tests, with every value in its place unless a test says otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from harness.attempts.recorded import Timing
from harness.bench.attempt import ATTEMPT_VERSION, Attempt
from harness.bench.identity import PARTS
from harness.bench.latency import latency
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.assembly import PlannedRun, assemble
from harness.tables.launches import Launch
from harness.tables.natives import Native, NativeOutput
from harness.tables.schema import Gpu, Machine, Table

MACHINE = Machine(cpu="Example CPU", cores=2, memory_mb=7950, os="Linux 6.1")
GPU = Gpu(name="Example GPU", memory_mb=81559, count=1)
PINS = {"torch": "2.0.1", "onnx": "1.14.0"}
PACKAGES = {"torch": "2.0.1", "onnx": "1.14.0", "numpy": "1.24.3", "triton": "2.0.0"}


def passed(model: str, strategy: str, **values: Any) -> Record:
    """A record of a cell that passed."""
    figures: dict[str, Any] = {
        "relative_error": 1.2e-7,
        "tolerance": 1e-4,
        "probes_passed": 4,
        "probes_skipped": 0,
        "probes_total": 4,
        "latency_ms": 2.0,
        "launches": 1,
        "iterations": 100,
        "rss_peak_mb": 300.0,
        "artifact_bytes": 1000,
        "model_digest": "m" * 16,
        "weights_digest": "w" * 16,
        "strategy_digest": "s" * 16,
    }
    figures |= values
    if figures["latency_ms"] is not None:  # with what launches that are all alike make of it
        figures = {"latency_iqr_ms": 0.0, "latency_spread": 0.0 if figures["launches"] > 1 else None, **figures}
    return record(model, strategy, Outcome.PASSED, Stage.MEASURE, **figures)


def failed(model: str, strategy: str, stage: Stage = Stage.LOAD, **values: Any) -> Record:
    """A record of a cell that failed at `stage`."""
    error = {"error_type": "Fail", "error": "the graph is not valid", "fingerprint": "f" * 8}
    return record(model, strategy, Outcome.FAILED, stage, **{**error, **values})


def mismatched(model: str, strategy: str, stage: Stage = Stage.MATCH, **values: Any) -> Record:
    """A record of a cell whose output is wrong."""
    return record(model, strategy, Outcome.MISMATCHED, stage, **{"difference": "output 0: off by 0.5", **values})


def not_applicable(model: str, strategy: str, reason: str = "needs torch 2.5") -> Record:
    """A record of a cell that cannot exist."""
    return record(model, strategy, Outcome.NOT_APPLICABLE, Stage.CONVERT, error_type="NotApplicable", error=reason)


def timed(model: str, strategy: str, *launches_s: Iterable[float], **values: Any) -> tuple[Record, list[Launch]]:
    """A record of a cell that passed, and its launches; of each the seconds of a call in its rounds of ten calls."""
    kept = [{**timing(samples), **values} for samples in launches_s]
    made = passed(model, strategy, **latency(kept))
    return made, rows_of(made, kept)


def launches_of(record: Record) -> list[Launch]:
    """The rows of launches, all of them alike, that make the latency of a record; none where it has no latency."""
    width_ms = record.latency_iqr_ms or 0.0
    return [replace(each, q3_ms=each.q1_ms + width_ms) for each in rows_of(record, timings(record))]


def rows_of(record: Record, kept: Iterable[Mapping[str, Any]]) -> list[Launch]:
    """The rows of launches that the bench kept of a cell."""
    known = {each.name for each in fields(Timing)}
    found = (Timing(**{name: value for name, value in each.items() if name in known}) for each in kept)
    return [each.launch(record, number) for number, each in enumerate(found)]


def timings(record: Record) -> list[dict[str, Any]]:
    """Launches, all of them alike, that the latency of a record may be of; none where it has no latency."""
    if record.latency_ms is None:
        return []
    calls, left = divmod(record.iterations or 1, record.launches or 1)
    counts = [calls + (number < left) for number in range(record.launches or 1)]
    return [timing([record.latency_ms / 1000], calls=count) for count in counts]


def timing(samples_s: Iterable[float], **values: Any) -> dict[str, Any]:
    """A launch as the bench keeps it in a record's details."""
    quiet = {"calls": 10, "warm_up_s": 0.1, "steady": True, "drift": 0.0, "busy_cores": 0.0}
    memory = {"rss_base_mb": 20.0, "rss_import_mb": 60.0, "rss_load_mb": 80.0, "rss_peak_mb": 90.0, "load_s": 0.5}
    return {
        "started": "2026-01-31T12:01:00Z",
        "samples_s": list(samples_s),
        **quiet,
        **memory,
        "seconds": 2.0,
        **values,
    }


def record(model: str, strategy: str, outcome: Outcome, stage: Stage, **values: Any) -> Record:
    """A record with nothing measured."""
    conditions: dict[str, Any] = {"combination": "torch2.0", "extension": "", "device": "cpu", "tier": "quick"}
    return Record(model=model, strategy=strategy, outcome=outcome, stage=stage, **{**conditions, **values})


def planned_run(**values: Any) -> PlannedRun:
    """A run without any planned cell."""
    conditions: dict[str, Any] = {
        "combination": "torch2.0",
        "extension": "",
        "device": "cpu",
        "tier": "quick",
        "selected": False,
        "planned": (),
        "started": "2026-01-31T12:00:00Z",
        "ended": "2026-01-31T12:03:20Z",
        "lock_digest": "0123456789abcdef",
        "packages": PACKAGES,
        "python": "3.11.7",
        "machine": MACHINE,
        "gpu": None,
        "driver": None,
        "threads": 2,
        "loadavg": (0.5, 0.4, 0.3),
        "harness_version": "0.1.0",
        "policy": {"timeout_s": 300.0, "launches": 1},
    }
    return PlannedRun(**{**conditions, **values})


def output(*sample: float, **values: Any) -> NativeOutput:
    """A native output that holds `sample` and nothing else, with a digest of its own unless a test says otherwise."""
    facts = {"digest": f"{hash(sample) & (1 << 64) - 1:016x}", "shape": (len(sample),), "dtype": "float32"}
    return NativeOutput(sample=sample, **{**facts, **values})


def native(*outputs: NativeOutput, **probes: tuple[NativeOutput, ...]) -> Native:
    """A model's native outputs on its example, and on `probes`."""
    return Native(weights_digest="w" * 16, outputs={"example": outputs, **probes})


def table(
    *records: Record,
    pins: dict[str, str] | None = None,
    missing: Iterable[tuple[str, str]] = (),
    natives: Mapping[str, Native] | None = None,
    launches: Iterable[Launch] | None = None,
    **values: Any,
) -> Table:
    """A table of `records`, which take on its combination, device and tier; `missing` was planned as well.

    Without `launches` it has such as make the latencies of the records.
    """
    planned = (*((r.model, r.strategy) for r in records), *missing)
    made = planned_run(planned=planned, **values)
    belonging = [replace(r, combination=made.combination, device=made.device, tier=made.tier) for r in records]
    if launches is None:
        launches = [launch for each in belonging for launch in launches_of(each)]
    return assemble(made, belonging, pins=PINS if pins is None else pins, natives=natives, launches=launches)


def write_attempt(
    folder: Path, records: Iterable[Record], *, details: Mapping[tuple[str, str], Any] | None = None, **values: Any
) -> Attempt:
    """An ended attempt, as the bench leaves it.

    `details` are those of records by model and strategy, else launches alone; `values` replace keys of `attempt.json`.
    """
    records = list(records)
    attempt = Attempt(folder)
    attempt.records.mkdir(parents=True)
    for record in records:
        path = attempt.records / f"{record.model}--{record.strategy.replace(':', '@')}.json"
        kept = (details or {}).get((record.model, record.strategy), {"launches": timings(record)})
        path.write_text(json.dumps({"row": record.to_json(), "details": kept}), encoding="utf-8")
    planned = [[record.model, record.strategy] for record in records]
    stated = {
        "version": ATTEMPT_VERSION,
        "state": "ended",
        "cause": "",
        "run": "one",
        "identity": {part: part for part in PARTS},
        **asdict(planned_run(planned=planned)),
        **values,
    }
    attempt.file.write_text(json.dumps(stated), encoding="utf-8")
    return attempt
