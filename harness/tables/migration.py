"""Older tables brought to the schema of today, one version at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.bench.errors import UsageError
from harness.bench.fingerprint import fingerprint
from harness.bench.operators import node_of, operator_of
from harness.bench.roots import is_wrapping
from harness.bench.text import original
from harness.tables.schema import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """A table as its files hold it: `run.json` parsed, `cells.csv` and `launches.csv` split.

    Each row is as long as its header. A table without `launches.csv` has no header of it.
    """

    run: Mapping[str, Any]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    launch_header: tuple[str, ...] = ()
    launch_rows: tuple[tuple[str, ...], ...] = ()


WITH_LAUNCHES = 5
"""The schema from which on a table keeps the launches that its latencies are made from."""

Migration = Callable[[RawTable], RawTable]
"""Takes a table of one version to the next. It need not set `schema_version`."""

_ADDED_IN_2 = {
    "probes_relative_error": "tolerance",
    "probes_derived": "probes_total",
    "cpu_nodes": "provider",
    "tf32": "cpu_nodes",
}
"""The columns that schema 2 added, and the one that each follows."""

_ADDED_IN_4 = {"operator": "fingerprint", "place": "operator", "begins_at": "difference"}
_ADDED_IN_5 = {
    "latency_spread": "latency_iqr_ms",
    "latency_quality": "latency_spread",
    "rss_source": "rss_peak_mb",
}
_ADDED_IN_6 = {
    "gpu_torch_peak_mb": "gpu_source",
    "gpu_tensorflow_peak_mb": "gpu_torch_peak_mb",
    "host_copies": "tf32",
}
_ADDED_IN_7 = {"identity": "strategy_digest", "carried_from": "identity"}
_ADDED_TO_LAUNCHES_IN_6 = {"gpu_use": "busy_cores"}


def _with_columns(raw: RawTable, added: Mapping[str, str]) -> RawTable:
    """`raw` with empty columns in its cells, each after the one that it is given with."""
    header, rows = _widened(raw.header, raw.rows, added)
    return replace(raw, header=header, rows=rows)


def _widened(
    header_before: Sequence[str], rows_before: Iterable[Sequence[str]], added: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    header, rows = list(header_before), [list(row) for row in rows_before]
    for name, before in added.items():
        if before not in header:
            continue  # the header's own check tells what is wrong with it
        at = header.index(before) + 1
        header.insert(at, name)
        for row in rows:
            row.insert(at, "")
    return tuple(header), tuple(tuple(row) for row in rows)


def _from_1(raw: RawTable) -> RawTable:
    """Schema 2 has more columns, and knows a run by its identity; what an older run did not measure is empty."""
    raw = _with_columns(raw, _ADDED_IN_2)
    return replace(raw, run={"identity": "", **raw.run})


def _from_2(raw: RawTable) -> RawTable:
    """Schema 3 knows series of a user's own models; before it, a table was of the zoo or of selected cells."""
    return replace(raw, run={"models": "", **raw.run})


def _from_3(raw: RawTable) -> RawTable:
    """Schema 4 says which operator a failure is about, where in the model it is, and where a mismatch begins.

    Fingerprints are made anew from what the rows have, so that they can be held against those of today. Where an older
    run kept no more than the words around an error, its cause is not known, and has no fingerprint.
    """
    raw = _with_columns(raw, _ADDED_IN_4)
    if any(name not in raw.header for name in _OF_A_FAILURE):
        return raw  # likewise
    at = {name: raw.header.index(name) for name in _OF_A_FAILURE}
    rows = []
    for row in raw.rows:
        values = list(row)
        if values[at["fingerprint"]]:
            _told_anew(values, at)
        rows.append(tuple(values))
    return replace(raw, rows=tuple(rows))


_OF_A_FAILURE = ("model", "error_type", "error", "fingerprint", "operator", "place", "difference")


def _told_anew(row: list[str], at: Mapping[str, int]) -> None:
    """Fill in what the row's own error tells."""
    error_type, error, difference = (original(row[at[name]]) for name in ("error_type", "error", "difference"))
    if difference and not error_type:
        row[at["fingerprint"]] = fingerprint("Mismatch", difference, model=row[at["model"]])
        return
    made = "" if is_wrapping(error_type, error) else fingerprint(error_type, error, model=row[at["model"]])
    row[at["fingerprint"]] = made
    row[at["operator"]], row[at["place"]] = operator_of(error), node_of(error)


def _from_4(raw: RawTable) -> RawTable:
    """Schema 5 times several launches of a cell, and says what speaks against a latency."""
    return _with_columns(raw, _ADDED_IN_5)


def _from_5(raw: RawTable) -> RawTable:
    """Schema 6 says who used the GPU, what frameworks took of its memory, and whether calls copy."""
    header, rows = _widened(raw.launch_header, raw.launch_rows, _ADDED_TO_LAUNCHES_IN_6)
    return replace(_with_columns(raw, _ADDED_IN_6), launch_header=header, launch_rows=rows)


def _from_6(raw: RawTable) -> RawTable:
    """Schema 7 says of each cell what had a say in it, and which run saw it; before, a run saw all of its cells."""
    return _with_columns(raw, _ADDED_IN_7)


MIGRATIONS: Mapping[int, Migration] = {1: _from_1, 2: _from_2, 3: _from_3, 4: _from_4, 5: _from_5, 6: _from_6}
"""By the version that a migration starts from. Whoever raises `SCHEMA_VERSION` adds the one from the version before."""


def version_of(run: Any, *, where: str) -> int:
    """The schema's version that `run.json` states.

    Raises `UsageError` where it states none, or one that is newer than this harness reads.
    """
    version = run.get("schema_version") if isinstance(run, Mapping) else None
    if type(version) is not int:
        msg = f"{where}: 'schema_version': expected int, got {version!r}. Is this a table's run.json?"
        raise UsageError(msg)
    if version > SCHEMA_VERSION:
        msg = (
            f"{where}: written by a newer harness (schema {version}, this one reads up to {SCHEMA_VERSION}): "
            "upgrade the harness."
        )
        raise UsageError(msg)
    return version


def migrate(raw: RawTable, *, where: str, migrations: Mapping[int, Migration] = MIGRATIONS) -> RawTable:
    """`raw` in the schema of today. Raises `UsageError` where there is no way from its version."""
    version = version_of(raw.run, where=where)
    while version < SCHEMA_VERSION:
        if version not in migrations:
            msg = (
                f"{where}: schema {version} is older than this harness can read. "
                "Read it with the harness that wrote it, or run its combination again."
            )
            raise UsageError(msg)
        raw = migrations[version](raw)
        version += 1
        raw = replace(raw, run={**raw.run, "schema_version": version})
    return raw
