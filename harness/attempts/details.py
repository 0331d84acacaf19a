"""What a table has no room for, kept on the machine that made it: records, samples, logs, artifacts of what broke.

It lies in ``.harness/details/``, in a folder that is called as the table's own is, and is nobody's to commit::

    plan.json, plan+tools.json   what the bench was told, of the combination and of each extension
    records/                     one file a cell: the row, and all that the bench knows beside it
    samples.parquet              the raw samples of the launches (`harness.attempts.samples`), which records leave out
    kept/                        one folder a cell that broke: its artifacts, logs and what it answered

An attempt gives these away when its table is written, so that the next run of the same, which begins anew in the same
attempt, takes nothing with it. All of it together is bounded: see `bound`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.attempts.recorded import RecordedCell, read_recorded
from harness.attempts.samples import SAMPLES, write_samples
from harness.bench.attempt import Attempt
from harness.bench.disk import remove_tree
from harness.bench.hold import hold
from harness.bench.kept import MIB, size_of
from harness.bench.plan import slug_of
from harness.bench.record import Record
from harness.matrix.places import OWN, own_folder
from harness.tables.layout import CELLS, is_hidden, table_folder
from harness.tables.schema import Run, Table

STORE = "details"
RECORDS = "records"
KEPT = "kept"
_PARTIAL = ".partial"


def folder_of(root: Path, run: Run) -> Path:
    """Where the details of the table of `run` are, or would be."""
    return table_folder(root / OWN / STORE, run)


def record_file(root: Path, run: Run, model: str, strategy: str) -> Path | None:
    """The JSON file with all that was recorded of a cell; None where there is only its row."""
    path = folder_of(root, run) / RECORDS / f"{slug_of(model, strategy)}.json"
    return path if path.is_file() else None


def recorded_at(root: Path, table: Table, model: str, strategy: str) -> str:
    """Where all that is known of a cell of `table` stands: its JSON file, else the table's rows."""
    file = record_file(root, table.run, model, strategy)
    return str(file.relative_to(root)) if file else f"{table.folder}/{CELLS}"


def seen(root: Path, run: Run, model: str, strategy: str) -> dict[str, Any]:
    """The details of a cell that the run `run` saw, whatever series its table is of; empty where they are not here.

    The raw samples are not among them.
    """
    folder = _of_run(root, run)
    path = folder / RECORDS / f"{slug_of(model, strategy)}.json" if folder else None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["details"]) if path else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _of_run(root: Path, run: Run) -> Path | None:
    """The details of the run of a combination that started when `run` did: one of its series has them."""
    own = folder_of(root, run)
    found = [own, *sorted(own.parent.parent.glob(f"*/{own.name}"))]
    return next((folder for folder in found if folder.is_dir()), None)


def samples_file(root: Path, run: Run, record: Record | None = None) -> Path | None:
    """The raw samples of the launches of a table, of the one that saw `record`; None where they are not here."""
    path = _seeing(root, run, record) / SAMPLES
    return path if path.is_file() else None


def kept_folder(root: Path, run: Run, model: str, strategy: str, *, record: Record | None = None) -> Path:
    """Where what a cell left is kept, or would be: with its table, or with the one that saw its `record`."""
    return _seeing(root, run, record) / KEPT / slug_of(model, strategy)


def _seeing(root: Path, run: Run, record: Record | None) -> Path:
    """The details of the run that saw a cell of `run`, where it was carried over and they are here; else of `run`."""
    saw = replace(run, started=record.seen_at(run.started)) if record else run
    return _of_run(root, saw) or folder_of(root, run)


def plan_file(root: Path, run: Run, extension: str) -> Path:
    """Where the plan of a table's cells is kept, or would be."""
    return folder_of(root, run) / _plan_name(extension)


def _plan_name(extension: str) -> str:
    return f"plan+{extension}.json" if extension else "plan.json"


def give(root: Path, attempts: Sequence[Attempt], run: Run, *, limit_mb: int) -> list[str]:
    """Keep the details of the table of `run`, which `attempts` made and whoever calls holds; what a person is told.

    All details together take no more than `limit_mb` afterwards. An attempt that lies elsewhere keeps its own as well.
    """
    target = folder_of(root, run)
    target.parent.mkdir(parents=True, exist_ok=True)
    store = own_folder(root) / STORE
    with hold(store, "the details of another run's table", lambda _: None):
        for left in store.glob(f"*/*/.*{_PARTIAL}"):
            remove_tree(left)
        partial = target.with_name(f".{target.name}{_PARTIAL}")
        for part in (RECORDS, KEPT):
            (partial / part).mkdir(parents=True)
        write_samples(partial, (cell for attempt in attempts for cell in _take_records(attempt, partial)))
        for attempt in attempts:
            _take(attempt, partial, own=attempt.folder.is_relative_to(own_folder(root).resolve()))
        remove_tree(target)
        partial.rename(target)
        return bound(root, limit_mb)


def _take_records(attempt: Attempt, partial: Path) -> Iterator[RecordedCell]:
    for path in sorted(attempt.records.glob("[!.]*.json")):
        cell = read_recorded(path)
        text = json.dumps(cell.without_samples(), indent=1)
        (partial / RECORDS / path.name).write_text(f"{text}\n", encoding="utf-8")
        yield cell


def _take(attempt: Attempt, partial: Path, *, own: bool) -> None:
    stated = attempt.read() or {}
    if attempt.plan.is_file():
        shutil.copyfile(attempt.plan, partial / _plan_name(stated.get("extension", "")))
    for cell in attempt.kept.glob("[!.]*"):
        if own:
            shutil.move(cell, partial / KEPT / cell.name)
        else:
            shutil.copytree(cell, partial / KEPT / cell.name, symlinks=True)


def bound(root: Path, limit_mb: int, *, spared: Path | None = None) -> list[str]:
    """Remove the oldest of what is kept until all details take no more than `limit_mb`; what a person is told.

    What cells of older tables left goes first, then the rest of these, then what cells of each series' newest table
    left, and its samples. The records of a newest table stay, and so does the folder `spared`, which is about to be
    used.
    """
    store = root / OWN / STORE
    total = size_of(store)
    limit = limit_mb * MIB
    before, removed = total, 0
    for path in _oldest_first(store):
        if total <= limit:
            break
        if spared is not None and spared.is_relative_to(path):
            continue
        total -= _removed(path)
        removed += 1
    if not removed:
        return []
    told = (
        f"{(before - total) // MIB} MiB of logs and artifacts of older cells were removed from {OWN}/{STORE}, so that "
        f"no more than {limit_mb} MiB are kept there (all_mb of [keep] in the matrix file)"
    )
    return [told]


def _removed(path: Path) -> int:
    """Remove a folder or a file; the bytes that it took."""
    if path.is_dir():
        size = size_of(path)
        remove_tree(path)
    else:
        size = path.lstat().st_blocks * 512
        path.unlink()
    return size


def _oldest_first(store: Path) -> Iterator[Path]:
    """What may go, in the order in which it does."""
    series = [folder for folder in store.glob("*/*") if folder.is_dir()]
    tables = {each: sorted(path for path in each.iterdir() if not is_hidden(path)) for each in series}
    newest = sorted((every[-1] for every in tables.values() if every), key=lambda path: path.name)
    older = sorted((path for every in tables.values() for path in every[:-1]), key=lambda path: path.name)
    for table in older:
        yield from _kept_in(table)
    yield from older
    for table in newest:
        yield from _kept_in(table)
    yield from (path for path in (table / SAMPLES for table in newest) if path.is_file())


def _kept_in(table: Path) -> list[Path]:
    folder = table / KEPT
    return sorted(folder.iterdir(), key=os.path.getmtime) if folder.is_dir() else []
