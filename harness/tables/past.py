"""The rows of all tables of a folder of results, kept by columns so that each table is read once.

A cache is a folder with an index and segments in Parquet, which are called by their digests. The index says of each
table which segment has its rows, and what its files were when they were read. Whatever does not fit is made anew: a
table that was changed, a cache of other code, and one that was damaged. Import this late: it loads Polars.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
from filelock import FileLock
from pydantic import ConfigDict

from harness.bench import record
from harness.bench.errors import UsageError
from harness.tables.decoding import decode, read_json
from harness.tables.frames import frame_of
from harness.tables.layout import CELLS, LAUNCHES, RUN, is_hidden
from harness.tables.reading import read_table
from harness.tables.schema import Gpu, Machine, Run

_INDEX = "index.json"
_MOST_SEGMENTS = 16
"""From this many on they are made one: each has to be opened."""
_ROWS_AT_ONCE = 20_000
"""Rows of a group. A segment is sorted by cell, so that most groups are passed over unread."""


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """The run that a table is of: `run_id` and `folder` say where that is, all else is as in its `run.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    run_id: str
    folder: Path = Path()
    combination: str
    device: str
    tier: str
    selected: bool
    models: str
    complete: bool
    started: str
    ended: str | None
    python: str
    machine: Machine
    gpu: Gpu | None
    driver: str | None
    threads: int
    harness_version: str
    lock_digest: str
    identity: str
    pins: Mapping[str, str]

    @classmethod
    def of(cls, run: Run, run_id: str, *, folder: Path = Path()) -> PastRun:
        """What is kept of a run."""
        told = {each.name: getattr(run, each.name) for each in fields(cls) if each.name not in ("run_id", "folder")}
        return cls(run_id=run_id, folder=folder, **told)


Files = tuple[tuple[str, int, int, int], ...]
"""Of each file that a table is read from: its name, size, time of change in ns, and inode."""


@dataclass(frozen=True, kw_only=True)
class _Kept:
    files: Files
    segment: str
    run: PastRun


@dataclass(frozen=True, kw_only=True)
class _Index:
    """The tables that are kept, by `run_id`, and of each segment how many tables it was written with."""

    code: str
    segments: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, _Kept] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PastRows:
    """All rows of all tables, with the `run_id` of each; the runs by that; why tables could not be read, by folder."""

    rows: pl.LazyFrame
    runs: Mapping[str, PastRun]
    unread: Mapping[Path, str]


@contextlib.contextmanager
def past_rows(results_root: Path, cache: Path) -> Iterator[PastRows]:
    """The rows of all tables below `results_root`. The cache is held meanwhile, since segments are replaced.

    Raises `UsageError` where the cache cannot be written.
    """
    folder = cache / hashlib.sha256(str(results_root.resolve()).encode()).hexdigest()[:16]
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(cache / f"{folder.name}.lock"))
            index, unread = _renewed(_known(folder), _tables(results_root), results_root, folder)
        except OSError as error:
            msg = f"{cache}: cannot be written ({error.strerror}). It may be removed; what is kept there is made anew."
            raise UsageError(msg) from error
        runs = {name: replace(kept.run, folder=results_root / name) for name, kept in index.tables.items()}
        yield PastRows(rows=_rows(index, folder), runs=runs, unread=unread)


def _tables(results_root: Path) -> dict[str, Files]:
    """The tables there, by their folder below the root, and what their files are now."""
    found = {}
    for run in sorted(results_root.glob(f"*/*/*/{RUN}")):
        if not is_hidden(run.parent):
            found[str(run.parent.relative_to(results_root))] = _files(run.parent)
    return found


def _files(table: Path) -> Files:
    found = []
    for name in (RUN, CELLS, LAUNCHES):
        with contextlib.suppress(FileNotFoundError):
            stat = (table / name).stat()
            found.append((name, stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return tuple(found)


def _known(folder: Path) -> _Index:
    """The index of a cache; an empty one where that is of other code, or where it or a segment is damaged."""
    empty = _Index(code=_code())
    try:
        value = read_json(folder / _INDEX, where=_INDEX, remedy="")
        if not isinstance(value, Mapping) or value.get("code") != empty.code:
            return empty
        index = decode(_Index, value, where=_INDEX)
        whole = all(_digest(folder / name) == name for name in index.segments)
    except (UsageError, OSError):
        return empty
    return index if whole and {each.segment for each in index.tables.values()} <= index.segments.keys() else empty


@functools.cache
def _code() -> str:
    """Digest of the code that makes rows of tables: what other code made may mean something else."""
    found = hashlib.sha256(pl.__version__.encode())
    for folder in (Path(record.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.glob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _digest(segment: Path) -> str:
    """What a segment is called: by its content."""
    with segment.open("rb") as file:
        return f"{hashlib.file_digest(file, 'blake2b').hexdigest()[:32]}.parquet"


def _renewed(
    known: _Index, there: Mapping[str, Files], results_root: Path, folder: Path
) -> tuple[_Index, dict[Path, str]]:
    """The index with the tables that are there as they are now, and why others could not be read, by folder."""
    tables = {name: kept for name, kept in known.tables.items() if there.get(name) == kept.files}
    frames, runs, unread = [], dict[str, PastRun](), {}
    for name in [name for name in there if name not in tables]:
        read = _read(results_root / name, name)
        if isinstance(read, str):
            unread[results_root / name] = read
        else:
            runs[name], rows = read
            frames.append(rows)
    if not runs and len(tables) == len(known.tables):
        return known, unread
    segments = dict(known.segments)
    if frames:
        if len(segments) >= _MOST_SEGMENTS:
            frames.append(_rows(replace(known, tables=tables), folder).collect())
            runs |= {name: kept.run for name, kept in tables.items()}
        segment = _written(pl.concat(frames), folder)
        segments[segment] = len(runs)
        tables |= {name: _Kept(files=there[name], segment=segment, run=run) for name, run in runs.items()}
    used = {kept.segment for kept in tables.values()}
    segments = {name: count for name, count in segments.items() if name in used}
    index = replace(known, segments=segments, tables=tables)
    record.write_json(folder / _INDEX, _plain(index))
    for left in folder.glob("*.parquet"):
        if left.name not in segments:
            left.unlink()
    return index, unread


def _read(table: Path, run_id: str) -> tuple[PastRun, pl.DataFrame] | str:
    """The run and the rows of a table, or why it cannot be read."""
    try:
        read = read_table(table, large_bytes=0)
        rows = frame_of(record.Record, read.records)
    except UsageError as error:
        return str(error)
    except OverflowError as error:
        return f"{table / CELLS}: {error}, in a number that no history can hold"
    return PastRun.of(read.run, run_id), rows.with_columns(run_id=pl.lit(run_id))


def _plain(index: _Index) -> dict[str, Any]:
    """An index as JSON has it; where a run's folder is depends on who asks."""
    values = asdict(index)
    for kept in values["tables"].values():
        del kept["run"]["folder"]
    return values


def _written(rows: pl.DataFrame, folder: Path) -> str:
    """The name of a new segment, which is there wholly or not at all."""
    partial = folder / f".partial-{os.getpid()}"
    rows.sort("model", "strategy", "device", "run_id").write_parquet(partial, row_group_size=_ROWS_AT_ONCE)
    segment = _digest(partial)
    partial.replace(folder / segment)
    return segment


def _rows(index: _Index, folder: Path) -> pl.LazyFrame:
    empty = frame_of(record.Record, ()).with_columns(run_id=pl.lit("")).lazy()
    return pl.concat([empty, *(_live(index, name, folder) for name in index.segments)])


def _live(index: _Index, segment: str, folder: Path) -> pl.LazyFrame:
    """The rows of a segment without those of tables that went or were changed."""
    rows = pl.scan_parquet(folder / segment)
    live = [name for name, kept in index.tables.items() if kept.segment == segment]
    return rows if len(live) == index.segments[segment] else rows.filter(pl.col("run_id").is_in(live))
