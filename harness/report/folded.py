"""What a comment has folded: all that nobody has to read before the decision."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from harness.bump.schema import Bump
from harness.report.accuracy import accuracy_changes
from harness.report.bump import claims, effort
from harness.report.causes import WORSE_SECTION, evidence, sections
from harness.report.commented import ARROW, LINE, MEMORY_LINES, ROWS, RUN, duelled, is_open, note_lines
from harness.report.duelled import DUELLED_HEADER, DUELLED_TITLE, duelled_rest
from harness.report.escaping import code, markdown_table, sentence, text
from harness.report.families import family_lines
from harness.report.figures import FIGURES_TITLE, figures
from harness.report.fitting import Block
from harness.report.shifts import LATENCY_TITLE, REST_LATENCY_TITLE, latency_lines, memory_lines
from harness.report.wording import (
    MOVED_MEANING,
    also_title,
    machine_line,
    natives_line,
    plain,
    run_line,
    transition,
)
from harness.tables.schema import Run
from harness.verdict.causes import Cause
from harness.verdict.comparison import MEANINGS, Comparison, count_of
from harness.verdict.gate import Verdict

_TOLD = ("why", "now", "cause", "was")
_SHORT = 200
_NAMED = 12


def folds(comparison: Comparison, verdict: Verdict | None, bump: Bump | None) -> list[Block]:
    """The folds in their order, each of which stands only where it has something."""
    told = verdict.told if verdict else frozenset()
    memory = memory_lines(comparison)
    return [
        *_sections(comparison, verdict),
        _fold(also_title(comparison), _lines(family_lines(comparison.also_differs, arrow=ARROW)), "lines of packages"),
        _fold("Accuracy on labelled data, changed", _accuracy(comparison), "tables of accuracies"),
        _fold(f"{DUELLED_TITLE}: all of it", _duelled(comparison, verdict), "lists of latencies"),
        _fold("Native outputs", _natives(comparison), "lines on native outputs"),
        _fold("Memory, all of it", _lines(memory if len(memory) > MEMORY_LINES else ()), "lines of memory"),
        _fold(
            REST_LATENCY_TITLE if told else LATENCY_TITLE, _lines(latency_lines(comparison, told)), "lines of latency"
        ),
        _fold(FIGURES_TITLE, _figures(comparison), "tables of numbers"),
        _fold("What was run to tell who is to blame", _trials(bump), "lines on trials"),
        _fold("Notes", () if is_open(verdict) else note_lines(comparison, verdict), "notes"),
        _fold("The two tables", _tables(comparison), "lines on tables"),
    ]


def _fold(title: str, items: Iterable[str], what: str) -> Block:
    """A fold with a title of ours. A blank line around its content has that read as Markdown."""
    opening = f"<details>\n<summary>{html.escape(title.replace('`', ''))}</summary>"
    return Block(opening=opening, items=tuple(items), closing="</details>", what=what)


def _lines(lines: Iterable[str]) -> list[str]:
    return [f"- {sentence(plain(line, length=LINE))}" for line in lines]


def _sections(comparison: Comparison, verdict: Verdict | None) -> list[Block]:
    found = []
    for section in sections(comparison, verdict):
        if section.title == WORSE_SECTION:
            continue
        items: list[str] = []
        for category, group in section.categories:
            blank = "\n" if items else ""
            items.append(f"{blank}**{category.value}**: {MEANINGS[category]}\n")
            items += [_cause(cause, comparison.candidate) for cause in group]
        cells = count_of(sum(len(cause.changes) for _, group in section.categories for cause in group))
        found.append(_fold(f"{section.title}: {cells}", items, f"causes of what is {section.title.lower()}"))
    return found


def _cause(cause: Cause, candidate: Run) -> str:
    names = [plain(change.name, length=_SHORT) for change in cause.changes]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    by_policy = f", {text(cause.by_policy)}" if cause.by_policy else ""
    lines = [f"- {transition(cause.first, arrow=ARROW)}{by_policy}: {', '.join(map(code, names[:_NAMED]))}{more}"]
    known = dict(evidence(cause, candidate))
    lines += [f"  - {label}: {sentence(plain(known[label], length=_SHORT))}" for label in _TOLD if label in known]
    return "\n".join(lines)


def _accuracy(comparison: Comparison) -> list[str]:
    found = accuracy_changes(comparison, arrow=ARROW)
    if not found.rows:
        return []
    table = markdown_table(found.header, [(code(plain(name)), *cells) for name, *cells in found.rows])
    return [table, *([f"\n{found.rest}"] if found.rest else [])]


def _duelled(comparison: Comparison, verdict: Verdict | None) -> list[str]:
    if verdict is None or verdict.duelled is None or not verdict.duelled.cells:
        return []
    rows = duelled(verdict)
    table = [f"{markdown_table(DUELLED_HEADER, rows)}\n"] if len(rows) > ROWS else []
    return [*table, *_lines(duelled_rest(verdict.duelled, comparison.base))]


def _natives(comparison: Comparison) -> list[str]:
    line = natives_line(comparison)
    return _lines([line, MOVED_MEANING]) if line else []


def _figures(comparison: Comparison) -> Sequence[str]:
    found = figures(comparison, arrow=ARROW)
    if not found.rows:
        return []
    table = markdown_table(found.header, [(code(plain(name)), *cells) for name, *cells in found.rows])
    return [table, *([f"\n{found.rest}"] if found.rest else [])]


def _trials(bump: Bump | None) -> list[str]:
    if bump is None or not bump.blames:
        return []
    told = [(blame.cell, dict(claims(blame)).get(RUN)) for blame in bump.blames]
    return [
        *(f"- {code(plain(cell))}: {text(plain(words, length=LINE))}" for cell, words in told if words),
        *_lines([effort(bump)]),
    ]


def _tables(comparison: Comparison) -> list[str]:
    sides = (("base", comparison.base), ("candidate", comparison.candidate))
    return [f"- {side}: {text(plain(f'{run_line(run)}; {machine_line(run)}', length=LINE))}" for side, run in sides]
