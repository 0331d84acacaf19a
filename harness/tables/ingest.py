"""What the bench left in its output folder, made into a table.

The folder holds `session.json` (what the run was of, with every planned cell) and `records/<slug>.json`, one file a
cell: the row under ``"row"`` and more under ``"details"``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.tables.decoding import check_device, check_tier, decode, moment, read_json
from harness.tables.schema import BASELINE, SCHEMA_VERSION, Conditions, Run, Table, in_order

SESSION = "session.json"
RECORDS = "records"

_REMEDY = "Run the bench again with `--out` naming this folder: it keeps what is recorded and resumes."


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
    Records of cells that were not planned are passed over; planned cells without one are in `run.missing`.
    Raises `UsageError` where the folder is not the bench's, or a file in it cannot be read.
    """
    return assemble(read_session(folder), read_records(folder), pins=pins)


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


def assemble(session: BenchSession, records: Iterable[Record], *, pins: Mapping[str, str]) -> Table:
    """A table of `records` as far as `session` planned them, with `latency_ratio` filled in."""
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
    return Table(run=run, records=with_latency_ratio(in_order(kept)))


def with_latency_ratio(records: Iterable[Record]) -> tuple[Record, ...]:
    """The records with `latency_ratio` against the `native` one of the same model and device; None without that."""
    records = tuple(records)
    native = {(r.model, r.device): r.latency_ms for r in records if r.strategy == BASELINE}
    return tuple(
        replace(record, latency_ratio=_ratio(record.latency_ms, native.get((record.model, record.device))))
        for record in records
    )


def _ratio(value: float | None, base: float | None) -> float | None:
    if value is None or base is None or not base > 0 or not math.isfinite(value / base):
        return None
    return value / base


def _canonical(versions: Mapping[str, str]) -> dict[str, str]:
    """Versions by the name that tells one package from another, whatever its spelling."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in sorted(versions.items())}
