"""Where tables lie: `<root>/<combination>/<device>-<tier>/<YYYYMMDDThhmmssZ>/`, and the files of one."""

from __future__ import annotations

from pathlib import Path

from harness.bench.errors import UsageError
from harness.tables.decoding import moment
from harness.tables.schema import Run

CELLS = "cells.csv"
RUN = "run.json"
NATIVE = "native.json"


def series_folder(root: Path, *, combination: str, device: str, tier: str) -> Path:
    """The folder that holds the tables of one combination, device and tier, one folder a run."""
    return root / combination / f"{device}-{tier}"


def table_folder(root: Path, run: Run) -> Path:
    """The folder of the table of `run`, named after its start.

    Raises `UsageError` where the combination's name cannot be a folder's.
    """
    name = run.combination
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        msg = f"combination {name!r} cannot name a folder of results. Use letters, digits, dots, hyphens and '+'."
        raise UsageError(msg)
    stamp = moment(run.started, where=RUN, key="started").strftime("%Y%m%dT%H%M%SZ")
    return series_folder(root, combination=name, device=run.device, tier=run.tier) / stamp


def is_hidden(path: Path) -> bool:
    """Whether `path` is no table's folder, but one that a writer has not finished with."""
    return path.name.startswith(".")
