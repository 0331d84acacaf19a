"""Which cell changed the environment that it ran in: who was at work then is suspected, and twice is guilty.

Records of cells that ran in a changed environment are taken back, so that these cells run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.bench.attempt import Attempt
from harness.bench.plan import Cell, Plan
from harness.executors.units import ChangedThereError
from harness.matrix.wholeness import Change

ALWAYS = ((0.0, float("inf")),)
"""When a cell was at work of which no event tells."""


@dataclass(frozen=True)
class FoundOut:
    """The cells that are suspected, of which each runs again, and those that changed the environment twice."""

    suspects: Sequence[Cell]
    guilty: Sequence[Cell]

    def __bool__(self) -> bool:
        """Whether anything was found out."""
        return bool(self.suspects or self.guilty)


def suspect_here(attempt: Attempt, plan: Plan, changes: Sequence[Change]) -> FoundOut:
    """Take back the records of cells that ran in an environment of this machine after it changed, or as it did."""
    first = min(change.changed for change in changes)
    spans, before = attempt.spans(), _suspects(attempt)
    tainted, suspects, guilty = [], [], []
    for cell in attempt.worked_on(plan):
        worked = spans.get((cell.model, cell.strategy), ALWAYS)
        if all(ended < first for _, ended in worked):
            continue
        inside = _changed_during(changes, worked)
        if inside and cell.slug in before:
            guilty.append(cell)
            continue
        tainted.append(cell)
        suspects += [cell] if inside else []
    attempt.take_back(tainted, suspects=[cell.slug for cell in suspects])
    return FoundOut(suspects, guilty)


def suspect_there(attempt: Attempt, plan: Plan, error: ChangedThereError) -> FoundOut:
    """The same of another machine, of which nothing is in the attempt that could be taken back."""
    before = _suspects(attempt)
    inside = [
        cell for cell in plan.cells if _changed_during(error.changes, error.spans.get((cell.model, cell.strategy), ()))
    ]
    suspects, guilty = ([cell for cell in inside if (cell.slug in before) is again] for again in (False, True))
    attempt.take_back([], suspects=[cell.slug for cell in suspects])
    return FoundOut(suspects, guilty)


def _suspects(attempt: Attempt) -> set[str]:
    stated = attempt.read()
    assert stated is not None
    return set(stated["suspects"])


def _changed_during(changes: Sequence[Change], worked: Sequence[tuple[float, float]]) -> bool:
    """Whether any change is of a time at which a cell was at work."""
    return any(began <= change.changed <= ended for change in changes for began, ended in worked)
