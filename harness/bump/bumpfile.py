"""`bump.json`, read and written. It lies beside the candidate's table.

A file of a newer schema is refused, and so is a key that is not known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.bench.errors import UsageError
from harness.bench.record import write_json
from harness.bump.schema import SCHEMA_VERSION, Bump
from harness.tables.decoding import decode, read_json
from harness.tables.encoding import plain_value

BUMP = "bump.json"
"""The file's name, beside the candidate's table."""


def to_json(bump: Bump) -> dict[str, Any]:
    """`bump` as plain values."""
    value: dict[str, Any] = json.loads(json.dumps(asdict(bump), default=plain_value))
    return value


def write_bump(folder: Path, bump: Bump) -> Path:
    """Write `bump.json` into the folder of the candidate's table, in one step; its path."""
    path = folder / BUMP
    write_json(path, to_json(bump))
    return path


def read_bump(folder: Path) -> Bump:
    """`bump.json` of the folder of a candidate's table.

    Raises `UsageError` with the path to the first wrong key, and where the file is of a newer schema.
    """
    path = folder / BUMP
    remedy = "Repeat the `harness bump` that wrote it."
    value = read_json(path, where=str(path), remedy=remedy)
    version = value.get("schema_version") if isinstance(value, Mapping) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        msg = f"{path} is of schema {version}, and this harness reads up to {SCHEMA_VERSION}. Take a newer harness."
        raise UsageError(msg)
    return decode(Bump, value, where=str(path), remedy=remedy)
