"""Writing a table, so that a reader finds all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from harness.bench.errors import UsageError
from harness.tables.cells import format_cells
from harness.tables.layout import CELLS, NATIVE, RUN, table_folder
from harness.tables.natives import format_natives
from harness.tables.reading import decode_run
from harness.tables.schema import Run, Table, in_order


def write_table(root: Path, table: Table) -> Path:
    """Write `table` under `root` and return its folder.

    A folder of that name is there already where the same run was written before: the same content is left alone, and
    an unfinished table gives way to a later one of its run (a killed run that was resumed). Anything else raises
    `UsageError`, as does a file system that refuses.
    """
    target = table_folder(root, table.run)
    content = {CELLS: format_cells(in_order(table.records)), RUN: format_run(table.run)}
    if table.natives:
        content[NATIVE] = format_natives(table.natives)
    if target.exists() and _holds(target, content):
        return target
    if target.exists() and not _gives_way(target, table.run):
        msg = (
            f"{target}: there is another table already, of a run that started in the same second or of this one "
            "with other results. Move it away if it is not wanted, and repeat the command."
        )
        raise UsageError(msg)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        _write_folder(partial, content)
        _put(partial, target)
    except OSError as error:
        msg = f"{target}: the table cannot be written ({error.strerror}). Check the space and the rights there."
        raise UsageError(msg) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def format_run(run: Run) -> str:
    """The text of `run.json`."""
    return json.dumps(run.to_json(), indent=2) + "\n"


def _holds(folder: Path, content: dict[str, str]) -> bool:
    try:
        same = all((folder / name).read_bytes() == text.encode("utf-8") for name, text in content.items())
        return same and (folder / NATIVE).exists() == (NATIVE in content)
    except OSError:
        return False


def _gives_way(folder: Path, run: Run) -> bool:
    """Whether the table in `folder` is an earlier, unfinished state of `run`."""
    try:
        there = decode_run(json.loads((folder / RUN).read_text(encoding="utf-8")), where=str(folder / RUN))
    except (OSError, ValueError, UsageError):
        return False
    unfinished = not there.complete or there.ended is None
    return unfinished and (there.started, there.selected) == (run.started, run.selected)


def _write_folder(folder: Path, content: dict[str, str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in content.items():
        with (folder / name).open("wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
    _sync(folder)


def _put(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`; what was there goes first, and comes back where the rename fails."""
    replaced = target.with_name(f".{target.name}.{os.getpid()}.replaced")
    there = target.exists()
    if there:
        target.rename(replaced)
    try:
        partial.rename(target)
    except OSError:
        if there:
            replaced.rename(target)
        raise
    _sync(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _sync(folder: Path) -> None:
    """A rename survives a power cut only once the folder itself is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
