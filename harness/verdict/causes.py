"""Changes grouped by cause, so that one cause reads, and is looked into, once however many cells it hits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from harness.bench.failure import signature_of
from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.verdict.comparison import Category, CellChange

_BOTH_SIDES = (Category.FAILING_EARLIER, Category.FAILING_LATER, Category.FAILING_DIFFERENTLY)
WITHOUT_STAGE = (Outcome.PASSED, Outcome.NOT_APPLICABLE, Outcome.UNRESOLVABLE)
"""Outcomes that say all; of others the stage says how far the cell came."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Cells of one category that went from one state to another with one fingerprint.

    `by_policy` says where the gate's policy takes them otherwise than their category would be; empty elsewhere.
    """

    category: Category
    changes: tuple[CellChange, ...]
    by_policy: str = ""

    @property
    def cells(self) -> str:
        """The names of the cells, as one list."""
        return ", ".join(change.name for change in self.changes)

    @property
    def first(self) -> CellChange:
        """The cell whose error is shown for all."""
        return self.changes[0]


def causes(changes: Iterable[CellChange], *, by_policy: Callable[[CellChange], str] | None = None) -> tuple[Cause, ...]:
    """The changes grouped by category, transition and fingerprint, in the order of their first cells.

    What `by_policy` says of them tells them apart as well.
    """
    groups: dict[tuple[Hashable, str], list[CellChange]] = {}
    for change in changes:
        key = (change.category, _state(change.base), _state(change.candidate), _signature(change))
        groups.setdefault((key, by_policy(change) if by_policy else ""), []).append(change)
    return tuple(
        Cause(category=group[0].category, changes=tuple(group), by_policy=said) for (_, said), group in groups.items()
    )


def _state(record: Record | None) -> Hashable:
    """What became of a cell, with the stage where that says how far it came."""
    if record is None:
        return None
    return record.outcome, None if record.outcome in WITHOUT_STAGE else record.stage


def _signature(change: CellChange) -> Hashable:
    """What two cells share where one cause broke both."""
    if change.category.untold:
        return change.reason
    base, candidate = (signature_of(record) if record else None for record in (change.base, change.candidate))
    if change.category in _BOTH_SIDES:
        return base, candidate
    return base if change.category is Category.FIXED else candidate
