"""What attempts leave behind, which the next start removes: what dead ones were at, and what waits in abandoned ones.

What waits in an attempt takes room for artifacts, and an attempt of other code is another folder. It is kept for
whoever goes on with it. Abandoned is an attempt that nobody can go on with, one whose cells were begun anew since
something that they depend on was edited, and one that nobody has been at for days. Its records stay.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.bench.attempt import Attempt, State
from harness.bench.disk import remove_tree
from harness.bench.group import end_leftovers
from harness.bench.hold import held_if_free

_KEPT_DAYS = 7


def sweep(folders: Iterable[Path]) -> None:
    """Remove what dead runs left, and what waits in abandoned attempts, of the attempts in `folders` that nobody holds.

    Of dead runs that is processes and scratch.
    """
    among = list(folders)
    for folder in among:
        attempt = Attempt(folder)
        scratch = attempt.scratch.exists()
        abandoned = attempt.has_waiting() and bool(why_abandoned(attempt, among))
        if not scratch and not abandoned:
            continue
        with held_if_free(attempt.folder) as free:
            if free and scratch:
                for each in (attempt, *attempt.of_units()):
                    end_leftovers(str(each.folder))
                    remove_tree(each.scratch)
            if free and abandoned and why_abandoned(attempt, among):  # somebody may have had it until now
                attempt.let_go()


def why_abandoned(attempt: Attempt, among: Sequence[Path]) -> str:
    """Why nobody is expected to go on with an attempt that nobody holds, in words; nothing where somebody may.

    `among` are the folders of the attempts that may have been begun in its place.
    """
    stated = attempt.read()
    if stated is not None:
        if stated["state"] == State.SETTLED.value:
            return "all that it was for is done"
        if not stated["identity"]:  # it is void
            return "files were edited while its cells ran"
    touched = max(map(_changed, (attempt.file, attempt.events)))
    for folder in among if stated is not None else ():
        other = Attempt(folder)
        # The plan is written when an attempt begins, and never again.
        if other.folder != attempt.folder and _changed(other.plan) > touched and _instead(stated, other.read()):
            return f"the same cells were begun anew in {other.folder.name}"
    if touched and time.time() - touched > _KEPT_DAYS * 86400:
        return f"nobody has been at it for {_KEPT_DAYS} days"
    return ""


def _instead(stated: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether an attempt is of the cells of another one, and of what became of the environment or the code of that."""
    if stated is None or other is None:
        return False
    one, two = stated["identity"], other["identity"]
    # Without a lock, other packages may be those of another environment, to which somebody comes back.
    same = ("plan",) if one.get("lock") and two.get("lock") else ("plan", "lock", "packages")
    return all(one.get(part) == two.get(part) for part in same)


def _changed(path: Path) -> float:
    """When a file was last written, in seconds since the epoch; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
