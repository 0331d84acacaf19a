"""The table that a person means: by its path, or by a combination's name.

A name stands for the newest table of the combination's lock as it is now, of one tier and device. Runs with extensions
are a series of their own, and so are those of a user's own models. A path stands for itself.
"""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.bench.errors import NoEvidenceError, UsageError, unknown
from harness.bench.places import find_root
from harness.bench.series import from_here, values_of
from harness.tables.decoding import check_device, check_tier, read_json
from harness.tables.layout import CELLS, IDENTITY, LAUNCHES, MODELS, NATIVE, RUN, is_hidden, series_folder
from harness.tables.migration import version_of
from harness.tables.reading import REMEDY, read_table
from harness.tables.schema import Table

DEVICES = ("cuda", "cpu")
"""The devices that `auto` looks for when reading, in this order."""

_FILES = (RUN, CELLS, LAUNCHES, NATIVE, IDENTITY)


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Something newer than a table that has not come to its end: a phrase, and the command that goes on with it.

    `command` is empty where none is known, or where it is under way.
    """

    reason: str
    command: str = ""

    def __str__(self) -> str:
        """The phrase alone."""
        return self.reason


@dataclass(frozen=True, kw_only=True)
class Found:
    """The table that a reference stands for.

    `newer` says of each newer table of the same series and lock why it could not stand in its place.
    """

    table: Table
    newer: tuple[Unfinished, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Locks:
    """The locks of a combination as they are now: the digest of its own, and of each extension's by its name."""

    own: str
    extensions: Mapping[str, str]

    def fit(self, stated: Mapping[str, Any]) -> bool:
        """Whether the run of a `run.json`, parsed, was of these locks.

        An extension whose environment could not be had has no digest in older tables, and is passed over.
        """
        if stated.get("lock_digest") != self.own:
            return False
        extensions = stated.get("extensions")
        digests = {
            name: each.get("lock_digest")
            for name, each in (extensions.items() if isinstance(extensions, Mapping) else ())
            if isinstance(each, Mapping)
        }
        return all(digest in ("", self.extensions.get(name)) for name, digest in digests.items())


def is_path(reference: str) -> bool:
    """Whether a reference is a path to a table (or to a file in one) rather than a combination's name."""
    path = Path(reference)
    named = path.name in _FILES
    return named or os.sep in reference or reference in ("", ".", "..") or (path / RUN).is_file()


def read_path(reference: str) -> Table:
    """The table at a path, whatever its lock, tier and device. Raises `UsageError` where there is none."""
    path = Path(reference)
    return read_table(path.parent if path.name in _FILES else path)


@dataclass(frozen=True, kw_only=True)
class Series:
    """Which series of a combination's tables is meant: `models` names that of a user's own models.

    `paths` are the folders that these import from, as another table of the same series says: a command needs them.
    """

    tier: str
    device: str
    extensions: bool = False
    models: str = ""
    paths: tuple[str, ...] = ()

    def folder(self, results_root: Path, combination: str) -> Path:
        """Where its tables are."""
        return series_folder(
            results_root,
            combination=combination,
            device=self.device,
            tier=self.tier,
            extensions=self.extensions,
            models=self.models,
        )

    def command(self, combination: str) -> str:
        """What makes a table of it."""
        root = find_root(Path.cwd())
        models = "".join(f" --models {shlex.quote(from_here(root, value))}" for value in values_of(self.models))
        models += "".join(f" --path {shlex.quote(from_here(root, value))}" for value in self.paths)
        extensions = " --extensions" if self.extensions else ""
        return f"`harness run {combination}{models} --tier {self.tier} --device {self.device}{extensions}`"


def find_table(results_root: Path, reference: str, wanted: Series, *, locks: Locks | None = None) -> Found:
    """The table that `reference`, a path or a combination's name, stands for.

    `locks` are None for a name that is no combination's, such as an ambient environment's: then any lock will do.
    Tables of selected cells and incomplete ones never stand for a name.
    Raises `UsageError` where there is none, with the nearest name and what to run, and `NoEvidenceError` where there
    are only tables of other locks.
    """
    check_device(wanted.device)
    check_tier(wanted.tier)
    if is_path(reference):
        return Found(table=read_path(reference))
    wanted = replace(wanted, paths=_paths(results_root, wanted))
    series, command = wanted.folder(results_root, reference), wanted.command(reference)
    folders = _subfolders(series)
    if not folders:
        raise UsageError(_no_table(results_root, reference, wanted))
    passed_over, other_locks = [], []
    for folder in reversed(folders):
        where = str(folder / RUN)
        stated = read_json(folder / RUN, where=where, remedy=REMEDY)
        version_of(stated, where=where)
        if locks is not None and not locks.fit(stated):
            other_locks.append((folder, stated.get("lock_digest")))
        elif stated.get("selected"):
            passed_over.append((folder, "is of selected cells"))
        elif stated.get("complete") is not True:
            passed_over.append((folder, "is not complete"))
        else:
            # Without its path: a verdict is read elsewhere too.
            newer = tuple(
                Unfinished(reason=f"a newer table of {reference}, {each.name}, {why}")
                for each, why in passed_over
                if "complete" in why
            )
            return Found(table=read_table(folder), newer=newer)
    if other_locks and locks is not None and not passed_over:
        newest, digest = other_locks[0]
        raise NoEvidenceError(_of_another_lock(reference, series, newest, str(digest), locks, command))
    msg = (
        f"no complete table of {reference!r} for {series.name}: "
        f"{', '.join(f'{folder.name} {why}' for folder, why in passed_over)}. "
        f"Run {command}, or name the folder {passed_over[0][0]} to use it all the same."
    )
    raise UsageError(msg)


def device_of(results_root: Path, references: Sequence[str], wanted: Series) -> str:
    """The device that `auto` means: one that every reference has tables of, CUDA first; that of `wanted` is not read.

    A path has its table's. Raises `UsageError` where there is no such device.
    """
    check_tier(wanted.tier)
    having = {
        reference: [read_path(reference).run.device]
        if is_path(reference)
        else [
            device for device in DEVICES if _subfolders(replace(wanted, device=device).folder(results_root, reference))
        ]
        for reference in references
    }
    shared = [device for device in DEVICES if all(device in each for each in having.values())]
    if shared:
        return shared[0]
    if all(having.values()):
        told = " and ".join(f"{reference!r} of {', '.join(devices)}" for reference, devices in having.items())
        msg = f"there are tables of {told}, so no device has one of each. Run one of them on the other's device."
        raise UsageError(msg)
    # What a name lacks is told by who looks for its table.
    return next((devices[0] for devices in having.values() if devices), DEVICES[-1])


def has_extended(results_root: Path, reference: str, series: Series) -> bool:
    """Whether a name has tables of the same runs with extensions too."""
    return not is_path(reference) and bool(
        _subfolders(replace(series, extensions=True).folder(results_root, reference))
    )


def _paths(results_root: Path, wanted: Series) -> tuple[str, ...]:
    """The folders that a user's own models import from, as the newest table of their series says, whoever's it is."""
    if not wanted.models:
        return ()
    tables = results_root.glob(f"*/{glob.escape(wanted.folder(results_root, '').name)}/[!.]*/{RUN}")
    newest = max(tables, key=lambda file: file.parent.name, default=None)
    if newest is None:
        return ()
    stated = read_json(newest, where=str(newest), remedy=REMEDY)
    found = stated.get("paths", ()) if isinstance(stated, Mapping) else ()
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _no_table(results_root: Path, reference: str, series: Series) -> str:
    wanted, command = series.folder(results_root, reference).name, series.command(reference)
    there = [folder.name for folder in _subfolders(results_root / reference) if _subfolders(folder)]
    if not there:
        names = [folder.name for folder in _subfolders(results_root)]
        near = unknown("combination", reference, names)
        msg = f"no table of {reference!r} under {results_root}: {near}"
        return f"{msg} Where it is a combination, make one with {command}; or name a folder."
    msg = f"no table of {reference!r} for {wanted} under {results_root}, only {', '.join(there)}. Run {command}"
    folders = {
        extensions: replace(series, extensions=extensions).folder(results_root, reference).name in there
        for extensions in (True, False)
    }
    if folders[True]:
        return f"{msg}, or add --extensions."
    if folders[False]:
        return f"{msg}, or leave out --extensions."
    if not series.models and any(MODELS in name for name in there):
        return f"{msg}, or name by --models the models of your own that it is of."
    return f"{msg}."


def _of_another_lock(reference: str, series: Path, newest: Path, digest: str, locks: Locks, command: str) -> str:
    if digest != locks.own:
        moved = f"of the lock {digest or '(none)'}, and the lock of {reference} is {locks.own} now"
    else:
        moved = f"of other locks of its extensions than those of {reference} now"
    return (
        f"no table of {reference!r} for {series.name} is of its lock as it is: the newest, {newest.name}, is {moved}. "
        f"Run {command}, or name the folder {newest} to use it all the same."
    )


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path))
