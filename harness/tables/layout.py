"""Where tables lie, and the files of one.

That is `<root>/<combination>/<device>-<tier>[+extensions][+models-<series>][+selected]/<YYYYMMDDThhmmssZ>/`.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.bench.errors import UsageError
from harness.bench.series import folder_name
from harness.tables.decoding import moment
from harness.tables.schema import Run

CELLS = "cells.csv"
LAUNCHES = "launches.csv"
RUN = "run.json"
NATIVE = "native.json"
LOCK = "lock.txt"
IDENTITY = "identity.json"

EXTENSIONS = "+extensions"
MODELS = "+models-"
SELECTED = "+selected"


def series_folder(
    root: Path,
    *,
    combination: str,
    device: str,
    tier: str,
    extensions: bool = False,
    models: str = "",
    selected: bool = False,
) -> Path:
    """The folder that holds the tables of one combination, device and tier, one folder a run.

    Runs with extensions are a series of their own: their tables have other cells. So are runs of a user's own models,
    by the name `models` of their series, and those of selected cells, which no name stands for.
    """
    parts = [f"{device}-{tier}", EXTENSIONS if extensions else ""]
    parts += [f"{MODELS}{folder_name(models)}" if models else "", SELECTED if selected else ""]
    return root / combination / "".join(parts)


def lock_file(extension: str) -> str:
    """The file beside the cells that keeps the lock of an environment: `lock.txt`, or `lock+tools.txt`."""
    return f"lock+{extension}.txt" if extension else LOCK


def extension_of(name: str) -> str | None:
    """The inverse of `lock_file`; None for any other file."""
    if name == LOCK:
        return ""
    found = re.fullmatch(r"lock\+(.+)\.txt", name)
    return found[1] if found else None


def table_folder(root: Path, run: Run) -> Path:
    """The folder of the table of `run`, named after its start.

    Raises `UsageError` where the combination's name cannot be a folder's.
    """
    name = run.combination
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        msg = f"combination {name!r} cannot name a folder of results. Use letters, digits, dots, hyphens and '+'."
        raise UsageError(msg)
    stamp = moment(run.started, where=RUN, key="started").strftime("%Y%m%dT%H%M%SZ")
    series = series_folder(
        root,
        combination=name,
        device=run.device,
        tier=run.tier,
        extensions=run.extended,
        models=run.models,
        selected=run.selected,
    )
    return series / stamp


def is_hidden(path: Path) -> bool:
    """Whether `path` is no table's folder, but one that a writer has not finished with."""
    return path.name.startswith(".")
