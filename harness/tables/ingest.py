"""What the bench left in its output folder, made into a table.

The folder holds `session.json` (what the run was of, with every planned cell) and `records/<slug>.json`, one file a
cell: the row under ``"row"`` and more under ``"details"``. `natives/<model>.json` are a digest and a sample of the
native outputs of each model that could be built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.tables.decoding import check_device, check_tier, decode, moment, read_json
from harness.tables.natives import Native, in_model_order, merged, read_native
from harness.tables.schema import BASELINE, SCHEMA_VERSION, Conditions, Extended, Run, Table, in_order

SESSION = "session.json"
RECORDS = "records"
NATIVES = "natives"

_REMEDY = "Run the bench again with `--out` naming this folder: it keeps what is recorded and resumes."
_NATIVE_REMEDY = (
    "Move it away to ingest without this model's native outputs, or run the bench again into an empty folder."
)


@dataclass(frozen=True, kw_only=True)
class BenchSession(Conditions):
    """`session.json`: the conditions of a run, and its planned cells as (model, strategy).

    Keys beside these are the bench's own business and are passed over.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    planned: tuple[tuple[str, str], ...]


def ingest(folder: Path, *, pins: Mapping[str, str]) -> Table:
    """The table of the bench's output folder; nothing is written.

    `pins` are the packages that the combination pins directly, name to version; empty for an ambient environment.
    Records of cells and native outputs of models that were not planned are passed over; planned cells without a record
    are in `run.missing`.
    Raises `UsageError` where the folder is not the bench's, or a file in it cannot be read.
    """
    return assemble(read_session(folder), read_records(folder), pins=pins, natives=_read_natives(folder))


def read_session(folder: Path) -> BenchSession:
    """`session.json` of the bench's output folder. Raises `UsageError` where it is missing or wrong."""
    if not folder.is_dir():
        msg = f"{folder}: no such folder. Name the one that the bench was given with `--out`."
        raise UsageError(msg)
    path = folder / SESSION
    if not path.is_file():
        msg = f"{folder}: no {SESSION} in it. Name the folder that the bench was given with `--out`."
        raise UsageError(msg)
    session = decode(BenchSession, read_json(path, where=str(path), remedy=_REMEDY), where=str(path))
    check_device(session.device)
    check_tier(session.tier)
    moment(session.started, where=str(path), key="started")
    if session.ended is not None:
        moment(session.ended, where=str(path), key="ended")
    return session


def read_records(folder: Path) -> tuple[Record, ...]:
    """Every record in the bench's output folder, planned or not. Raises `UsageError` where one is wrong."""
    paths = sorted((folder / RECORDS).glob("*.json"))
    return tuple(_read_record(path) for path in paths if not path.name.startswith("."))


def _read_record(path: Path) -> Record:
    value = read_json(path, where=str(path), remedy=_REMEDY)
    row: Any = value.get("row") if isinstance(value, Mapping) else None
    if not isinstance(row, Mapping):
        msg = f"{path}: 'row': expected object. This is no record of the bench; move it away."
        raise UsageError(msg)
    known = {each.name for each in fields(Record)}
    for name in row:
        if name not in known:
            msg = f"{path}: the key 'row.{name}' is not known. Ingest with the harness that ran the bench."
            raise UsageError(msg)
    return decode(Record, row, where=str(path), prefix="row")


def _read_natives(folder: Path) -> dict[str, Native]:
    """The native outputs in the bench's output folder, by model."""
    paths = (path for path in (folder / NATIVES).glob("*.json") if not path.name.startswith("."))
    return {path.stem: read_native(path, remedy=_NATIVE_REMEDY) for path in sorted(paths)}


def assemble(
    session: BenchSession,
    records: Iterable[Record],
    *,
    pins: Mapping[str, str],
    natives: Mapping[str, Native] | None = None,
) -> Table:
    """A table of `records` and `natives` as far as `session` planned them, with `latency_ratio` filled in."""
    planned = dict.fromkeys(session.planned)
    of_run = {
        (record.model, record.strategy): record
        for record in records
        if (record.combination, record.device, record.tier) == (session.combination, session.device, session.tier)
    }
    kept = [of_run[cell] for cell in planned if cell in of_run]
    missing = tuple(f"{model}/{strategy}" for model, strategy in planned if (model, strategy) not in of_run)
    conditions = {each.name: getattr(session, each.name) for each in fields(Conditions)}
    conditions["packages"] = _canonical(session.packages)
    run = Run(
        **conditions,
        schema_version=SCHEMA_VERSION,
        planned=len(planned),
        recorded=len(kept),
        complete=not missing,
        missing=missing,
        pins=_canonical(pins),
    )
    models = {model for model, _ in planned}
    of_models = {model: native for model, native in (natives or {}).items() if model in models}
    return Table(run=run, records=with_latency_ratio(in_order(kept)), natives=in_model_order(of_models))


def merge(tables: Sequence[Table]) -> Table:
    """One table of a combination's own cells, which come first, and those of its extensions.

    Of a model that ran in several of the environments, the native outputs are those of the combination's own.
    """
    first, *others = tables
    if not others:
        return first
    runs = [table.run for table in tables]
    ends = [run.ended for run in runs if run.ended is not None]
    run = replace(
        first.run,
        planned=sum(run.planned for run in runs),
        recorded=sum(run.recorded for run in runs),
        complete=all(run.complete for run in runs),
        missing=tuple(cell for run in runs for cell in run.missing),
        ended=max(ends) if len(ends) == len(runs) else None,
        extensions={run.extension: Extended(lock_digest=run.lock_digest, packages=run.packages) for run in runs[1:]},
    )
    records = with_latency_ratio(in_order(record for table in tables for record in table.records))
    return Table(run=run, records=records, natives=merged(table.natives for table in tables))


def with_latency_ratio(records: Iterable[Record]) -> tuple[Record, ...]:
    """The records with `latency_ratio` against the `native` one of the same model and device; None without that."""
    records = tuple(records)
    native = {(r.model, r.device): r.latency_ms for r in records if r.strategy == BASELINE}
    return tuple(_beside_native(record, native.get((record.model, record.device))) for record in records)


def _beside_native(record: Record, native_ms: float | None) -> Record:
    overhead = None
    if record.service_rss_mb is not None and record.latency_ms is not None and native_ms is not None:
        overhead = record.latency_ms - native_ms
    return replace(record, latency_ratio=_ratio(record.latency_ms, native_ms), overhead_ms=overhead)


def _ratio(value: float | None, base: float | None) -> float | None:
    if value is None or base is None or not base > 0 or not math.isfinite(value / base):
        return None
    return value / base


def _canonical(versions: Mapping[str, str]) -> dict[str, str]:
    """Versions by the name that tells one package from another, whatever its spelling."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in sorted(versions.items())}
