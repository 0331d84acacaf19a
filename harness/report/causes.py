"""Changes grouped by cause, so that one cause reads once however many cells it hits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.report.wording import SHORT_ERROR, detail, transition
from harness.verdict.comparison import Category, CellChange, Comparison

WORSE_SECTION = "Worse"
SECTIONS: tuple[tuple[str, tuple[Category, ...]], ...] = (
    (
        WORSE_SECTION,
        (Category.NEWLY_FAILING, Category.MISMATCHED, Category.FAILING_EARLIER, Category.NO_LONGER_APPLICABLE),
    ),
    ("Better", (Category.FIXED, Category.FAILING_LATER)),
    ("Different", (Category.FAILING_DIFFERENTLY, Category.NEWLY_APPLICABLE)),
    ("Not compared", (Category.NOT_COMPARABLE, Category.MISSING_IN_CANDIDATE, Category.MISSING_IN_BASE)),
)
"""The sections of a report in order, and the categories in each. What is unchanged is only counted."""

_BOTH_SIDES = (Category.FAILING_EARLIER, Category.FAILING_LATER, Category.FAILING_DIFFERENTLY)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Cells of one category that went from one state to another with one fingerprint."""

    category: Category
    changes: tuple[CellChange, ...]

    @property
    def cells(self) -> str:
        """The names of the cells, as one list."""
        return ", ".join(change.name for change in self.changes)

    @property
    def first(self) -> CellChange:
        """The cell whose error is shown for all."""
        return self.changes[0]

    def evidence(self) -> list[tuple[str, str]]:
        """Label and text of what is known of the cause: the reason, the error now, the error before, fingerprint."""
        length = {} if self.category.worse else {"length": SHORT_ERROR}
        now, was = detail(self.first.candidate, **length), detail(self.first.base, **length)
        shown = [("why", self.first.reason)]
        if not self.category.untold:
            shown += [("now", now), ("was", was)]
            fingerprint = self.first.candidate.fingerprint if self.first.candidate else None
            shown.append(("fingerprint", fingerprint or ""))
        return [(label, text) for label, text in shown if text]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a report: categories that have cells, with their causes."""

    title: str
    categories: tuple[tuple[Category, tuple[Cause, ...]], ...]


def sections(comparison: Comparison) -> tuple[Section, ...]:
    """The sections that have cells."""
    found = []
    for title, categories in SECTIONS:
        filled = tuple((c, causes(comparison.of(c))) for c in categories if comparison.of(c))
        if filled:
            found.append(Section(title=title, categories=filled))
    return tuple(found)


def causes(changes: Iterable[CellChange]) -> tuple[Cause, ...]:
    """The changes grouped by category, transition and fingerprint, in the order of their first cells."""
    groups: dict[tuple[Category, str, str], list[CellChange]] = {}
    for change in changes:
        groups.setdefault((change.category, transition(change), _signature(change)), []).append(change)
    return tuple(Cause(category=key[0], changes=tuple(group)) for key, group in groups.items())


def _signature(change: CellChange) -> str:
    """What two cells share where one cause broke both; the error's own text where there is no fingerprint."""
    if change.category.untold:
        return change.reason
    base, candidate = ((r.fingerprint or detail(r)) if r else "" for r in (change.base, change.candidate))
    if change.category in _BOTH_SIDES:
        return f"{base}\n{candidate}"
    return base if change.category is Category.FIXED else candidate
