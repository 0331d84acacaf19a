"""Adds to the environment of somebody's requirements what turned out to be missing in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt
from harness.bench.stages import Stage
from harness.matrix import combination as combinations
from harness.matrix.locks import read_lock
from harness.matrix.requirements import keeping

_MISSING = re.compile(r"No module named '(?P<module>\w+)[\w.]*'")
_STAGES = {Stage.IMPORT.value, Stage.BUILD.value, Stage.CONVERT.value}


def completed(
    root: Path, group: Sequence[Task], texts: Iterable[str], *, note: Callable[[str], None]
) -> list[Task] | None:
    """The tasks of `group` with what `texts`, errors of their cells, say to be missing; None where that is nothing.

    Only requirements that were given leave anything out, and only what they themselves name is added.
    """
    name = group[0].plan.combination
    if not combinations.is_given(root, name):
        return None
    missing = {match["module"] for text in texts for match in _MISSING.finditer(text)}
    found = keeping.addable(root, name, missing)
    if not found:
        return None
    if set(found) <= missing:
        note(f"{name}: {', '.join(found)} turned out to be needed: adding what the requirements name for it")
    else:
        lacking = ", ".join(sorted(missing - set(found)))
        note(f"{name}: no package is known by the name of {lacking}: adding what may have it, {', '.join(found)}")
    kept = keeping.again(root, name, modules=found, note=note)
    if kept.name != name:
        note(f"{name}: its files were edited while the cells ran, and are {kept.name} now. Run the same command again.")
        return None
    each = combinations.read(root, name)
    lock = read_lock(root, each)
    if group[0].lock is not None and group[0].lock.digest == lock.digest:
        return None
    path = "" if lock.reason else str(lock.path)
    return [replace(task, plan=replace(task.plan, lock=path), combination=each, lock=lock) for task in group]


def errors_of(attempts: Iterable[Attempt]) -> list[str]:
    """What the cells of these attempts that came to no artifact died of."""
    found = []
    for attempt in attempts:
        for path in sorted(attempt.records.glob("[!.]*.json")):
            row = json.loads(path.read_text(encoding="utf-8"))["row"]
            if row["stage"] in _STAGES and row.get("error"):
                found.append(str(row["error"]))
    return found
