"""Older tables brought to the schema of today, one version at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.bench.errors import UsageError
from harness.tables.schema import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """A table as its files hold it: `run.json` parsed, `cells.csv` split. Each row is as long as the header."""

    run: Mapping[str, Any]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Migration = Callable[[RawTable], RawTable]
"""Takes a table of one version to the next. It need not set `schema_version`."""

MIGRATIONS: Mapping[int, Migration] = {}
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
        raw = RawTable(run={**raw.run, "schema_version": version}, header=raw.header, rows=raw.rows)
    return raw
