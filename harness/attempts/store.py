"""Artifacts of cells that passed, kept for whoever would convert the same again: a duel, a trial.

They lie in ``.harness/artifacts/``, one folder each, which is called by its key: a digest of all that has a say in a
conversion. It has the artifact as the cell left it, ``artifact.json``, and ``entry.json``::

    .harness/artifacts/KEY/artifact.json
    .harness/artifacts/KEY/entry.json
    .harness/artifacts/KEY/convert/artifact-0/model.onnx

A run always converts, and gives away what it converted at its end. Whoever changes the store holds it, and does no more
meanwhile than rename, link and remove. An entry appears whole, by a rename. Whoever takes one has links of its own to
its files, so that it may go at any time; what was linked is held against its digest before it is used.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.attempts import identities
from harness.attempts.ingredients import as_now
from harness.attempts.recorded import read_recorded
from harness.bench.attempt import Attempt
from harness.bench.disk import remove_tree, space_at
from harness.bench.errors import HarnessError
from harness.bench.hold import hold
from harness.bench.identity import Identity, short
from harness.bench.kept import MIB, ArtifactChangedError, content_digest, read_artifact, size_of
from harness.bench.plan import Cell, Plan, file_stem_of, split
from harness.bench.record import now, write_json
from harness.bench.registry import Registry
from harness.bench.stages import Outcome
from harness.bench.text import one_line, size
from harness.bench.waiting import WAITING_SHARE
from harness.matrix.environment import clean_environ
from harness.matrix.places import OWN, own_folder
from harness.matrix.surroundings import variables

STORE = "artifacts"
ENTRY_FILE = "entry.json"
_VERSION = 2
_PARTIAL = ".partial"

Tell = Callable[[str], None]


def folder_of(root: Path) -> Path:
    """Where the store is, or would be."""
    return root / OWN / STORE


def key_of(plan: Plan, registry: Registry, cell: Cell, parts: Identity) -> str:
    """What the artifact of a cell is kept by; empty where not all that has a say in it is known.

    `parts` are those of the attempt that converts it; the variables that frameworks read are those of now. What is in
    an ambient environment nobody can tell. The model's weights, and what building and converting it read, are held
    against it where it is served.
    """
    if not parts["lock"] or not parts["packages"]:
        return ""
    strategy = registry.strategy_digest(split(cell.strategy)[0])
    read = variables("cpu", clean_environ(pinned=True))
    environment = [parts["lock"], parts["packages"], parts["bench"], plan.policy.threads, read]
    of_cell = [cell.model, registry.models[cell.model].digest, cell.strategy, strategy, sorted(plan.paths)]
    return short(json.dumps([_VERSION, *environment, *of_cell]))


def keep(root: Path, plan: Plan, registry: Registry, attempt: Attempt, parts: Identity, *, note: Tell) -> None:
    """Move the artifacts that an attempt left, which the caller holds, to the store; the least recently used ones go.

    What cannot be kept, as on a full disk, is told and costs nothing else.
    """
    if not attempt.artifacts.is_dir():
        return
    known = identities.kept(attempt)
    unknown = known.unknown if known else ()  # of another command, which may have had other variables
    try:
        with _held(root):
            for cell in plan.cells:
                left = attempt.artifacts / cell.slug
                if left.is_dir() and cell.slug not in unknown and (key := key_of(plan, registry, cell, parts)):
                    _keep(root, registry, attempt, cell, left, key)
            told = bound(root, plan.keeping.artifacts_mb)
    except (OSError, HarnessError) as error:
        told = [f"not all artifacts could be kept in {OWN}/{STORE} ({one_line(str(error))}); no record is lost"]
    remove_tree(attempt.artifacts)
    for line in told:
        note(line)


def _keep(root: Path, registry: Registry, attempt: Attempt, cell: Cell, left: Path, key: str) -> None:
    """Have an artifact in the store, unless it is there or its cell is not what it was taken for."""
    entry = folder_of(root) / key
    recorded = read_recorded(attempt.record_of(cell))
    record, reads = recorded.record, recorded.reads
    digests = registry.models[cell.model].digest, registry.strategy_digest(split(cell.strategy)[0])
    if reads is None or record.outcome is not Outcome.PASSED:
        return
    if (record.model_digest, record.strategy_digest) != digests:
        return
    before = _files_of(entry)
    if before is not None and _is_of_now(before):
        os.utime(entry / ENTRY_FILE)
        return
    remove_tree(entry)
    builds = attempt.builds / f"{file_stem_of(cell.model)}.json"
    files = json.loads(builds.read_text(encoding="utf-8")) if builds.is_file() else {}
    stated = {"version": _VERSION, "cell": cell.id, "weights_digest": record.weights_digest, "at": now()}
    write_json(left / ENTRY_FILE, {**stated, "files": {**reads, **files}})
    partial = entry.with_name(f".{key}{_PARTIAL}")
    shutil.move(left, partial)
    partial.rename(entry)


@contextlib.contextmanager
def lent(
    root: Path, plan: Plan, registry: Registry, attempt: Attempt, parts: Identity, *, note: Tell
) -> Iterator[None]:
    """Until the end of the context, have artifacts of the store in the attempt of a side of a duel, which is held.

    They are of those cells that have no record yet. Of any other attempt nothing is done: a run converts.
    """
    if not plan.duel_side:
        yield
        return
    keys = {
        cell: key
        for cell in plan.cells
        if not attempt.record_of(cell).exists() and (key := key_of(plan, registry, cell, parts))
    }
    remove_tree(attempt.given)
    number = sum(take(root, key, attempt.given / cell.slug, note=note) for cell, key in keys.items())
    if number:
        note(f"{number} of {len(keys)} cells were converted before, and need not be again")
    try:
        yield
    finally:
        remove_tree(attempt.given)


def take(root: Path, key: str, target: Path, *, note: Tell) -> bool:
    """Have the artifact of a key in the folder `target`, as the bench keeps one; whether there is one.

    One that is not, byte by byte, what was kept is removed from the store, which is told.
    """
    entry = folder_of(root) / key
    if not entry.is_dir():
        return False
    with _held(root):
        if not entry.is_dir():
            return False
        files = _files_of(entry)
        if files is not None and not _is_of_now(files):
            return False
        try:
            shutil.copytree(entry, target, symlinks=True, copy_function=_link)
        except OSError:  # a full disk says nothing of the entry
            remove_tree(target)
            return False
        if files is not None:
            os.utime(entry / ENTRY_FILE)
    if files is not None and _is_whole(target):
        return True
    remove_tree(target)
    with _held(root):
        remove_tree(entry)
    note(f"{OWN}/{STORE}/{key} was not, byte by byte, what had been kept, and was removed; it is converted anew")
    return False


def _is_of_now(files: Mapping[str, str]) -> bool:
    """Whether what an entry was made of is still what it was."""
    return as_now(map(Path, files)) == list(files.values())


def _files_of(entry: Path) -> Mapping[str, str] | None:
    """The files that an entry was built and converted from, with digests; None where it does not say it."""
    try:
        files: Mapping[str, str] = json.loads((entry / ENTRY_FILE).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return files if isinstance(files, dict) else None


def _is_whole(folder: Path) -> bool:
    try:
        artifact = read_artifact(folder)
        return content_digest(folder / artifact.unit) == artifact.digest
    except (ArtifactChangedError, OSError):
        return False


def bound(root: Path, limit_mb: int) -> list[str]:
    """Remove the least recently used entries of the store, which is held, down to a limit; what a person is told.

    That is `limit_mb`, or a quarter of what is free without the store, where that is less.
    """
    entries = sorted(_entries(root), key=lambda entry: (_used(entry), entry.name))
    sizes = {entry: size_of(entry) for entry in entries}
    total, removed = sum(sizes.values()), []
    limit = min(limit_mb * MIB, round(WAITING_SHARE * (space_at(folder_of(root), reserved=False).free + total)))
    for entry in entries:
        if total <= limit:
            break
        remove_tree(entry)
        total -= sizes[entry]
        removed.append(sizes[entry])
    if not removed:
        return []
    told = (
        f"{len(removed)} artifacts ({size(sum(removed))}) that nobody used for longest were removed from "
        f"{OWN}/{STORE}, so that no more than {size(limit)} are kept there (artifacts_mb of [keep] in the matrix file, "
        "and no more than a quarter of the disk)"
    )
    return [told]


@contextlib.contextmanager
def _held(root: Path) -> Iterator[None]:
    """Have the store; what somebody left half done who died meanwhile is removed."""
    folder = own_folder(root) / STORE
    with hold(folder, "the store of artifacts", lambda _: None):
        for left in folder.glob(f".*{_PARTIAL}"):
            remove_tree(left)
        yield


def _entries(root: Path) -> Sequence[Path]:
    return [path for path in folder_of(root).glob("[!.]*") if path.is_dir()]


def _used(entry: Path) -> float:
    """When an entry was last used; one that says nothing of itself goes first."""
    try:
        return (entry / ENTRY_FILE).stat().st_mtime
    except OSError:
        return 0.0


def _link(source: str, target: str) -> None:
    """Another name of a file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
