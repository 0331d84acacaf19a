"""What a table has no room for, kept on the machine that made it: records whole, logs, artifacts of what broke.

It lies in ``.harness/details/``, in a folder that is called as the table's own is, and is nobody's to commit::

    plan.json, plan+tools.json   what the bench was told, of the combination and of each extension
    records/                     one file a cell: the row, and all that the bench knows beside it
    kept/                        one folder a cell that broke: its artifacts, logs and what it answered

An attempt gives these away when its table is written, so that the next run of the same, which begins anew in the same
attempt, takes nothing with it.
"""

from __future__ import annotations

from pathlib import Path

from harness.bench.plan import slug_of
from harness.matrix.places import OWN
from harness.tables.layout import table_folder
from harness.tables.schema import Run

STORE = "details"
RECORDS = "records"
KEPT = "kept"


def folder_of(root: Path, run: Run) -> Path:
    """Where the details of the table of `run` are, or would be."""
    return table_folder(root / OWN / STORE, run)


def record_file(root: Path, run: Run, model: str, strategy: str) -> Path | None:
    """The JSON file with all that was recorded of a cell; None where there is only its row."""
    path = folder_of(root, run) / RECORDS / f"{slug_of(model, strategy)}.json"
    return path if path.is_file() else None


def kept_folder(root: Path, run: Run, model: str, strategy: str) -> Path:
    """Where what a cell left is kept, or would be."""
    return folder_of(root, run) / KEPT / slug_of(model, strategy)
