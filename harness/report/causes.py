"""The sections of a report, and what is shown of each cause."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.diagnoses import told_of
from harness.report.wording import SHORT_ERROR, detail
from harness.tables.schema import Run
from harness.verdict.causes import Cause, causes
from harness.verdict.comparison import Category, Comparison
from harness.verdict.gate import Verdict

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


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a report: categories that have cells, with their causes."""

    title: str
    categories: tuple[tuple[Category, tuple[Cause, ...]], ...]


def sections(comparison: Comparison, verdict: Verdict | None = None) -> tuple[Section, ...]:
    """The sections that have cells; the policy of a verdict moves none to another."""
    by_policy = verdict.by_policy if verdict else None
    found = []
    for title, categories in SECTIONS:
        filled = tuple((c, causes(comparison.of(c), by_policy=by_policy)) for c in categories if comparison.of(c))
        if filled:
            found.append(Section(title=title, categories=filled))
    return tuple(found)


def evidence(cause: Cause, candidate: Run) -> list[tuple[str, str]]:
    """Label and text of what is known of a cause: the reason, the error now, what it is, the error before, fingerprint.

    `candidate` is the candidate's run.
    """
    length = {} if cause.category.worse else {"length": SHORT_ERROR}
    now, was = detail(cause.first.candidate, **length), detail(cause.first.base, **length)
    shown = [("why", cause.first.reason)]
    if not cause.category.untold:
        shown += [("now", now), *told_of(cause.first.candidate, candidate), ("was", was)]
        fingerprint = cause.first.candidate.fingerprint if cause.first.candidate else None
        shown.append(("fingerprint", fingerprint or ""))
    return [(label, text) for label, text in shown if text]
