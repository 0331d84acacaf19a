"""Writing a table in one step: a reader finds all of it or nothing, at whatever moment the writer dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.bench.errors import DiskFullError, HarnessError, NotWritableError, UsageError
from harness.bench.record import Record
from harness.tables.ingredients import format_ingredients
from harness.tables.launches import Launch
from harness.tables.layout import CELLS, IDENTITY, LAUNCHES, NATIVE, RUN, extension_of, lock_file, table_folder
from harness.tables.natives import format_natives
from harness.tables.rows import format_rows
from harness.tables.schema import Run, Table, in_order

_PARTIAL = ".partial"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_THERE = (errno.EEXIST, errno.ENOTEMPTY)


def write_table(root: Path, table: Table) -> Path:
    """Write `table` under `root` and return its folder.

    It is written beside its place and renamed onto it, which is one step of the file system; nothing that is there is
    ever moved away. The same table written twice is left alone.
    Raises `UsageError` where another table has that place, `DiskFullError` and `NotWritableError` where the file system
    refuses. Then nothing is left of it.
    """
    target = table_folder(root, table.run)
    content = _content(table)
    if _taken(target, content):
        return target
    made: list[Path] = []
    try:
        made = _make(target.parent)
        with _writing_in(target.parent):
            partial = target.with_name(f".{target.name}{_PARTIAL}")
            try:
                _write_folder(partial, content)
                _put(partial, target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        if error.errno in _THERE and _taken(target, content):
            return target
        raise _told(target, error) from error
    return target


def format_run(run: Run) -> str:
    """The text of `run.json`."""
    return json.dumps(run.to_json(), indent=2) + "\n"


def _content(table: Table) -> dict[str, bytes]:
    """The files of a table by name."""
    texts = {CELLS: format_rows(Record, in_order(table.records)), RUN: format_run(table.run)}
    if table.launches:
        texts[LAUNCHES] = format_rows(Launch, in_order(table.launches))
    if table.natives:
        texts[NATIVE] = format_natives(table.natives)
    if table.ingredients:
        texts[IDENTITY] = format_ingredients(table.ingredients)
    texts |= {lock_file(extension): text for extension, text in sorted(table.locks.items())}
    return {name: text.encode("utf-8") for name, text in texts.items()}


def _taken(target: Path, content: dict[str, bytes]) -> bool:
    """Whether the same table is there already; a `UsageError` where there is another."""
    if not target.exists() or not any(target.iterdir()):
        return False
    of_some = (IDENTITY, LAUNCHES, NATIVE)
    known = {path.name for path in target.iterdir() if path.name in of_some or extension_of(path.name) is not None}
    try:
        same = all((target / name).read_bytes() == data for name, data in content.items())
    except OSError:
        same = False
    if same and known <= content.keys():
        return True
    msg = (
        f"{target}: there is another table already, of a run that started in the same second or of this one "
        "with other results. Move it away if it is not wanted, and repeat the command."
    )
    raise UsageError(msg)


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it; those that were not there, the outermost first."""
    made = [each for each in (folder, *folder.parents) if not each.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return made


@contextlib.contextmanager
def _writing_in(series: Path) -> Iterator[None]:
    """Be the only writer in a series, and remove what writers left that were killed.

    The lock is on the folder itself, so that it leaves no file among the tables and is gone with whoever held it.
    """
    handle = os.open(series, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for left in series.glob(f".*{_PARTIAL}"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(handle)


def _write_folder(folder: Path, content: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, data in content.items():
        with (folder / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    _sync(folder)


def _put(partial: Path, target: Path) -> None:
    """Rename a whole table to its place, which fails where another is; only an empty folder gives way."""
    partial.rename(target)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """A rename survives a power cut only once the folder itself is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _told(target: Path, error: OSError) -> HarnessError:
    said = f"{target}: the table cannot be written ({error.strerror})."
    if error.errno in _FULL:
        return DiskFullError(said)
    if error.errno in _REFUSED:
        return NotWritableError(said)
    return UsageError(f"{said} Is there something else in its place?")
