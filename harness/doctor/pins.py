"""Locks that do not fit their combinations, and environments that are not what was installed."""

from __future__ import annotations

import re
from pathlib import Path

from harness.bench.errors import HarnessError, UsageError
from harness.doctor.finding import Finding, fault, fine, warning
from harness.doctor.holds import holder_of
from harness.doctor.tools import named
from harness.matrix import combination as combinations
from harness.matrix import matrixfile
from harness.matrix.environment import folder_of, holding_folder, python_of
from harness.matrix.installing import installed
from harness.matrix.locks import Lock, read_lock
from harness.matrix.wholeness import listed

_REMEDY = re.compile(r"Run `(?P<command>[^`]+)`\.$")


def _lock(root: Path, name: str) -> Lock | None:
    try:
        return read_lock(root, combinations.read(root, name))
    except UsageError:
        return None


def locks(root: Path) -> list[Finding]:
    """Every combination with its lock, and the matrix file that runs begin with."""
    found: list[Finding] = []
    fitting: list[str] = []
    unsolved: list[str] = []
    for name in named(root):
        try:
            lock = read_lock(root, combinations.read(root, name))
        except UsageError as error:
            told = _REMEDY.search(str(error))
            command = told["command"] if told else f"Mend it, and: harness lock {name}"
            found.append(fault(f"lock of {name}", _REMEDY.sub("", str(error)).strip(), command))
            continue
        (unsolved if lock.reason else fitting).append(name)
    found += [fine("locks that fit", ", ".join(fitting))] if fitting else []
    found += [fine("no solution", f"{', '.join(unsolved)}; that is recorded, and a result")] if unsolved else []
    nightly = root / "matrices" / "nightly.toml"
    if nightly.exists():
        try:
            matrixfile.read(nightly, known=combinations.names(root))
        except UsageError as error:
            found.append(fault("matrices/nightly.toml", str(error), "Mend it; `harness plan` reads it again."))
    return found


def environments(root: Path) -> list[Finding]:
    """Every environment that is there, compared with the snapshot of its installation."""
    found = []
    for name in named(root):
        lock = _lock(root, name)
        if lock is None or lock.reason or not folder_of(root, name).exists():
            continue
        found.append(_environment(root, name, lock))
    return found or [fine("environments", "none is installed yet; `harness run` installs what it needs")]


def _environment(root: Path, name: str, lock: Lock) -> Finding:
    again = f"harness run {name.partition(combinations.EXTENDS)[0]}"
    busy = holder_of(holding_folder(root, name))
    if busy:
        return fine(name, f"in use by {busy}")
    if not python_of(root, name).exists():
        return warning(name, "its interpreter has gone; the next run installs it anew", again)
    kept = installed(root, name, lock)
    if kept is None:
        told = "not installed by a run from its lock as it is, or interrupted: the next run mends or installs it"
        return warning(name, told, again)
    try:
        changes = kept.changes()
    except HarnessError as error:
        return warning(name, str(error), again)
    if changes:
        told = f"{len(changes)} files are not as they were installed, which the next run mends: {listed(changes)}"
        return warning(name, told, again)
    return fine(name, f"whole, {len(kept.snapshot)} files")
