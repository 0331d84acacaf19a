"""Tables that were made elsewhere from this checkout, taken among those that are here.

Whoever made them may have failed, or lied: each is read as any table is, held against what this checkout would run, and
written anew from what was read, so that no file and no name of theirs comes with it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from harness import __version__
from harness.bench.errors import HarnessError, UsageError
from harness.bench.record import Record
from harness.tables.decoding import moment, read_json
from harness.tables.finding import Locks, Series
from harness.tables.layout import CELLS, IDENTITY, LAUNCHES, NATIVE, RUN, extension_of, is_hidden, table_folder
from harness.tables.migration import version_of
from harness.tables.reading import REMEDY, read_table
from harness.tables.schema import SCHEMA_VERSION, Table
from harness.tables.writing import write_table

_LARGEST_BYTES = 256 * 1024 * 1024
"""A table of 100,000 cells has a sixth of it in its largest file."""
_AHEAD = timedelta(hours=1)
"""How much the clock of another machine may be ahead of ours."""
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """A table that a matrix asks for: one of `series`, which differ by their device.

    `cells` are those that this checkout plans, as (model, strategy), with the digests of the code of both; an empty
    digest is not known here.
    """

    combination: str
    locks: Locks
    series: tuple[Series, ...]
    cells: Mapping[tuple[str, str], tuple[str, str]]

    def __str__(self) -> str:
        return f"{self.combination} on {' or '.join(each.device for each in self.series)}, tier {self.series[0].tier}"

    def is_of(self, table: Table) -> bool:
        """Whether a table is of one of the series, whatever its cells and its locks."""
        run = table.run
        of = run.tier, run.device, run.extended, run.models
        return run.combination == self.combination and any(
            of == (each.tier, each.device, each.extensions, each.models) for each in self.series
        )


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A table that is among the others now, `new` or there already, and the newest complete one before it."""

    table: Table
    new: bool
    before: Table | None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A folder with a table in it that is not taken, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What became of tables that were made elsewhere.

    `passed_over` are tables that say the same of every cell as a newer one of their series; `missing` what was awaited
    and is not among `taken`.
    """

    taken: tuple[Taken, ...]
    passed_over: tuple[Path, ...]
    refused: tuple[Refused, ...]
    missing: tuple[Awaited, ...]


def join(results_root: Path, folders: Iterable[Path], awaited: Sequence[Awaited], *, now: datetime) -> Joined:
    """Take the tables below `folders` that are awaited, the newest of each series, into `results_root`.

    Called again it takes nothing more, and tells the same. Two tables of one series that contradict each other are both
    refused. Raises `UsageError` where a folder is not there, and what `write_table` raises of a disk that refuses.
    """
    looked_at = {folder: _looked_at(folder, awaited, now=now) for folder in _table_folders(folders)}
    refused = [each for each in looked_at.values() if isinstance(each, Refused)]
    taken: list[Taken] = []
    passed_over: list[Path] = []
    for group in _by_series(results_root, {f: each for f, each in looked_at.items() if isinstance(each, Table)}):
        *older, newest = sorted(group, key=lambda folder: (group[folder].run.started, folder))
        if reason := _contradiction([group[folder] for folder in (*older, newest)]):
            refused += (Refused(folder=folder, reason=reason) for folder in group)
            continue
        one = _taken(results_root, newest, group[newest])
        if isinstance(one, Taken):
            taken.append(one)
            passed_over += older
        else:
            refused.append(one)
    missing = tuple(each for each in awaited if not any(each.is_of(one.table) for one in taken))
    order = [each.combination for each in awaited]
    taken.sort(key=lambda one: (order.index(one.table.run.combination), one.table.run.device))
    return Joined(taken=tuple(taken), passed_over=tuple(passed_over), refused=tuple(refused), missing=missing)


def _table_folders(folders: Iterable[Path]) -> list[Path]:
    """The folders of tables in `folders`, each once; links to folders are not followed."""
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            msg = f"{folder}: no such folder. Name the folders that hold what the other runs made."
            raise UsageError(msg)
        for path, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if not is_hidden(Path(name)))
            if RUN in files:
                found.setdefault(Path(path).resolve(), Path(path))
    return list(found.values())


def _looked_at(folder: Path, awaited: Sequence[Awaited], *, now: datetime) -> Table | Refused:
    try:
        return _checked(folder, awaited, now=now)
    except HarnessError as error:
        return Refused(folder=folder, reason=str(error))


def _checked(folder: Path, awaited: Sequence[Awaited], *, now: datetime) -> Table:
    """The table in `folder`. Raises `UsageError` where it is not one that this checkout could have made, all of it."""
    _refuse_foreign(folder)
    stated = version_of(read_json(folder / RUN, where=str(folder / RUN), remedy=REMEDY), where=str(folder / RUN))
    table = read_table(folder)
    run = table.run
    if (stated, run.harness_version) != (SCHEMA_VERSION, __version__):
        msg = (
            f"made by harness {run.harness_version} with schema {stated}, and this is {__version__} with schema "
            f"{SCHEMA_VERSION}. Make it again from this checkout."
        )
        raise UsageError(msg)
    if moment(run.started, where=RUN, key="started") > now + _AHEAD:
        msg = f"started at {run.started}, which is yet to come. It would be the newest for as long."
        raise UsageError(msg)
    if run.selected:
        msg = "of selected cells, and no name stands for those."
        raise UsageError(msg)
    if not run.complete:
        msg = f"not complete: {_named(run.missing)} have no record. Run it again; it goes on where it stopped."
        raise UsageError(msg)
    asked = next((each for each in awaited if each.is_of(table)), None)
    if asked is None:
        known = "; ".join(map(str, awaited))
        msg = f"of {run.combination!r} on {run.device}, tier {run.tier}, which is not in the matrix. It has {known}."
        raise UsageError(msg)
    if not asked.locks.fit(run.to_json()):
        msg = f"of another lock than {asked.combination} has here. Run it again from this checkout."
        raise UsageError(msg)
    _refuse_other_cells(table.records, asked.cells)
    return table


def _refuse_foreign(folder: Path) -> None:
    """Raise where something in the folder is no file of a table's."""
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        found = entry.stat(follow_symlinks=False)
        ours = entry.name in (CELLS, LAUNCHES, RUN, NATIVE, IDENTITY) or extension_of(entry.name) is not None
        if not ours or not stat.S_ISREG(found.st_mode):
            what = "is a link" if entry.is_symlink() else "does not belong to a table"
            msg = f"{entry.name} {what}. Nothing of this folder is taken."
            raise UsageError(msg)
        if found.st_size > _LARGEST_BYTES:
            msg = f"{entry.name} has {found.st_size >> 20} MiB, and no table is so large. Nothing of it is taken."
            raise UsageError(msg)


def _refuse_other_cells(records: Sequence[Record], planned: Mapping[tuple[str, str], tuple[str, str]]) -> None:
    """Raise where cells are not those that are planned here, or of other code."""
    has = {(record.model, record.strategy): (record.model_digest, record.strategy_digest) for record in records}
    if has.keys() != planned.keys():
        lacks = _named([f"{model}/{strategy}" for model, strategy in planned if (model, strategy) not in has])
        more = _named([f"{model}/{strategy}" for model, strategy in has if (model, strategy) not in planned])
        told = "; ".join(filter(None, [f"it lacks {lacks}" if lacks else "", f"it has {more}" if more else ""]))
        msg = f"not of the cells that this checkout plans: {told}. Run it again from this checkout."
        raise UsageError(msg)
    other = [
        f"{model}/{strategy}"
        for (model, strategy), digests in has.items()
        if any(a and b and a != b for a, b in zip(digests, planned[model, strategy], strict=True))
    ]
    if other:
        msg = f"of other code than this checkout's: {_named(other)}. Run it again from this checkout."
        raise UsageError(msg)


def _by_series(results_root: Path, read: Mapping[Path, Table]) -> Iterator[dict[Path, Table]]:
    """The tables that were read, parted by their series."""
    groups: dict[Path, dict[Path, Table]] = {}
    for folder, table in read.items():
        groups.setdefault(table_folder(results_root, table.run).parent, {})[folder] = table
    yield from groups.values()


def _contradiction(tables: Sequence[Table]) -> str:
    """Why tables of one series cannot all be believed; empty where they say the same of every cell."""
    first = tables[0]
    said = _said(first)
    for other in tables[1:]:
        if other.run.started == first.run.started and other != first:
            return "contradicts another table of the same start. Run the combination again."
        if differing := [
            f"{model}/{strategy}" for (model, strategy), seen in _said(other).items() if seen != said[model, strategy]
        ]:
            named = _named(differing)
            return f"contradicts another table of the same series, where {named} came to something else. Run it again."
    return ""


def _said(table: Table) -> dict[tuple[str, str], tuple[object, ...]]:
    """What a table says of each cell that two runs of the same have in common."""
    return {
        (record.model, record.strategy): (record.outcome, record.stage, record.fingerprint) for record in table.records
    }


def _taken(results_root: Path, folder: Path, table: Table) -> Taken | Refused:
    place = table_folder(results_root, table.run)
    newer = [each.name for each in _tables(place.parent) if each.name > place.name]
    if newer:
        msg = f"older than {max(newer)}, which is here: it is not of this night, and nobody would look at it."
        return Refused(folder=folder, reason=msg)
    new = not place.exists()
    try:
        written = write_table(results_root, table)
    except UsageError as error:
        return Refused(folder=folder, reason=str(error))
    return Taken(table=replace(table, folder=written), new=new, before=_before(written))


def _before(folder: Path) -> Table | None:
    """The newest complete table of the same series that is older than the one in `folder`, whatever its lock."""
    for each in sorted(_tables(folder.parent), reverse=True):
        # One that cannot be read is told by whoever is asked for it.
        with contextlib.suppress(HarnessError):
            if each.name < folder.name and (table := read_table(each)).run.complete:
                return table
    return None


def _tables(series: Path) -> list[Path]:
    """The folders of the tables of a series."""
    return [each.parent for each in series.glob(f"[!.]*/{RUN}")]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
