"""A table made of records: as far as a run planned them, with the figures that need another cell of the same table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar

from packaging.utils import canonicalize_name
from pydantic import ConfigDict

from harness.bench.record import Record
from harness.tables.ingredients import Ingredients
from harness.tables.launches import Launch
from harness.tables.natives import Native, in_model_order, merged
from harness.tables.schema import (
    BASELINE,
    SCHEMA_VERSION,
    Conditions,
    Extended,
    NotReproduced,
    Run,
    Table,
    in_order,
)


@dataclass(frozen=True, kw_only=True)
class PlannedRun(Conditions):
    """The conditions of a run, and its planned cells as (model, strategy). What else is known of it is passed over."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    planned: tuple[tuple[str, str], ...]


def assemble(
    planned_run: PlannedRun,
    records: Iterable[Record],
    *,
    pins: Mapping[str, str],
    natives: Mapping[str, Native] | None = None,
    launches: Iterable[Launch] = (),
    identity: str = "",
    lock: str = "",
    ingredients: Ingredients | None = None,
    not_reproducible: Iterable[NotReproduced] = (),
) -> Table:
    """A table of `records`, `launches` and `natives` as far as they were planned, with `latency_ratio` filled in.

    `pins` are the packages that the combination pins directly, name to version; empty for an ambient environment.
    `identity` is that of the attempt, `lock` the text of the lock that it is of, `ingredients` are what had a say in
    its cells; `not_reproducible` are those that were run again and came to something else.
    """
    planned = dict.fromkeys(planned_run.planned)
    of_what = planned_run.combination, planned_run.device, planned_run.tier
    of_run = {
        (record.model, record.strategy): record
        for record in records
        if (record.combination, record.device, record.tier) == of_what
    }
    kept = [of_run[cell] for cell in planned if cell in of_run]
    missing = tuple(f"{model}/{strategy}" for model, strategy in planned if (model, strategy) not in of_run)
    conditions = {each.name: getattr(planned_run, each.name) for each in fields(Conditions)}
    conditions["packages"] = _canonical(planned_run.packages)
    run = Run(
        **conditions,
        schema_version=SCHEMA_VERSION,
        planned=len(planned),
        recorded=len(kept),
        complete=not missing,
        missing=missing,
        pins=_canonical(pins),
        identity=identity,
        carried=sum(bool(record.carried_from) for record in kept),
        not_reproducible=tuple(not_reproducible),
    )
    models = {model for model, _ in planned}
    of_models = {model: native for model, native in (natives or {}).items() if model in models}
    cells = {record.cell for record in kept}
    return Table(
        run=run,
        records=with_latency_ratio(in_order(kept)),
        natives=in_model_order(of_models),
        launches=in_order(launch for launch in launches if launch.cell in cells),
        locks={planned_run.extension: lock} if lock else {},
        ingredients={planned_run.extension: ingredients} if ingredients else {},
    )


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
        extensions={run.extension: _extended(run) for run in runs[1:]},
        carried=sum(run.carried for run in runs),
        not_reproducible=tuple(each for run in runs for each in run.not_reproducible),
    )
    return Table(
        run=run,
        records=with_latency_ratio(in_order(record for table in tables for record in table.records)),
        natives=merged(table.natives for table in tables),
        launches=in_order(launch for table in tables for launch in table.launches),
        locks={extension: text for table in tables for extension, text in table.locks.items()},
        ingredients={extension: each for table in tables for extension, each in table.ingredients.items()},
    )


def _extended(run: Run) -> Extended:
    return Extended(lock_digest=run.lock_digest, packages=run.packages, policy=dict(sorted(run.policy.items())))


def with_latency_ratio(records: Iterable[Record]) -> tuple[Record, ...]:
    """The records with `latency_ratio` against the `native` one of the same model and device; None without that.

    Both have to be of one run: a cell that was carried over is held against a `native` one that this run saw too.
    """
    records = tuple(records)
    native = {(r.model, r.device, r.carried_from): r.latency_ms for r in records if r.strategy == BASELINE}
    return tuple(_beside_native(r, native.get((r.model, r.device, r.carried_from))) for r in records)


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
    return {canonicalize_name(name): version for name, version in sorted(versions.items())}
