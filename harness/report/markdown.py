"""The same reports in Markdown, for a comment on a pull request or a README."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.bump.schema import Bump
from harness.report import accuracy
from harness.report.accuracy import Accuracies, accuracies, accuracy_changes
from harness.report.bump import blame_markdown
from harness.report.causes import WORSE_SECTION, evidence, sections
from harness.report.diagnoses import told_of
from harness.report.duelled import DUELLED_HEADER, DUELLED_TITLE, duelled_rest, duelled_rows
from harness.report.escaping import code, fenced, markdown_table, sentence, text
from harness.report.expected import EXPECTED, PASSING, UNEXPECTED, expected_groups, passing_groups
from harness.report.figures import FIGURES_TITLE, figures
from harness.report.grids import Breakage, Grid, breakages, grid_of, legends, not_applicable, success_rates, summary
from harness.report.shifts import (
    LATENCY_TITLE,
    MEMORY_TITLE,
    REST_LATENCY_TITLE,
    latency_lines,
    memory_line,
    memory_lines,
)
from harness.report.wayout import next_step_of, way_out_markdown
from harness.report.wording import (
    MOVED_HEADER,
    MOVED_MEANING,
    MOVED_TITLE,
    SHORT_ERROR,
    SUCCESS,
    also_title,
    bumped_title,
    detail,
    grid_text,
    headline,
    look_at,
    machine_line,
    moved_rows,
    natives_line,
    notes,
    packages_texts,
    run_line,
    state,
    transition,
    unchanged_line,
)
from harness.tables.schema import Run, Table
from harness.verdict.causes import Cause
from harness.verdict.comparison import MEANINGS, Comparison, count_of
from harness.verdict.expectations import Foreseen
from harness.verdict.gate import Verdict

_ARROW = "→"
_BAND = 8


def grid(table: Table, foreseen: Foreseen | None = None) -> str:
    """A table as Markdown: models x strategies, how many cells came to what, and what is broken, cause by cause.

    What is broken as `foreseen` stands apart.
    """
    shown = grid_of(table)
    rates = {strategy: f"{rate} {rate.percent}".rstrip() for strategy, rate in success_rates(table).items()}
    parts = [f"**{text(run_line(table.run))}**", text(machine_line(table.run))]
    parts += [_band(shown, rates, band) for band in _bands(shown.strategies)]
    parts.append(summary(table))
    if marks := legends(table):
        parts.append("\n".join(f"- {sentence(legend)}" for legend in marks))
    found = breakages(replace(table, records=foreseen.unexpected) if foreseen else table)
    if found:
        parts.append(_broken(found, table, title=UNEXPECTED.lower() if foreseen else "broken cells"))
    if foreseen:
        for title, groups in ((EXPECTED, expected_groups(foreseen)), (PASSING, passing_groups(foreseen))):
            rows = [(", ".join(code(name) for name in each.cells), each.title, text(each.why)) for each in groups]
            parts += [markdown_table((title.lower(), "outcome", "why"), rows)] if rows else []
    reasons = not_applicable(table)
    if reasons:
        items = [f"- {count_of(len(records))}: {text(reason)}" for reason, records in reasons.items()]
        parts += ["Not applicable:", "\n".join(items)]
    parts += _accuracy(accuracies(table))
    if table.run.missing:
        parts.append(f"Without a record: {', '.join(code(name) for name in table.run.missing)}")
    return "\n\n".join(parts) + "\n"


def comparison(comparison: Comparison, verdict: Verdict | None = None, bump: Bump | None = None) -> str:
    """A comparison as Markdown, under its verdict where there is one, and who is to blame where that was looked for."""
    parts = [f"### {text(headline(comparison, verdict))}"]
    sides = (("base", comparison.base), ("candidate", comparison.candidate))
    parts.append("\n".join(f"- {side}: {text(run_line(run))}" for side, run in sides))
    parts += [*blame_markdown(bump), *way_out_markdown(bump)] if bump else []
    parts += _environment(comparison, verdict)
    moved = _moved(comparison)
    for section in sections(comparison, verdict):
        if section.title != WORSE_SECTION:
            parts, moved = [*parts, *moved], []
        parts.append(f"#### {section.title}")
        for category, causes in section.categories:
            count = count_of(len(comparison.of(category)))
            parts.append(f"**{category.value}** ({count}): {MEANINGS[category]}")
            for cause in causes:
                parts += _cause(cause, comparison.candidate)
    parts += [*moved, unchanged_line(comparison)]
    parts += [text(line) for line in (natives_line(comparison),) if line]
    parts += _accuracy(accuracy_changes(comparison, arrow=_ARROW))
    parts += [*_duelled(comparison, verdict), *_shifts(comparison, verdict), *_figures(comparison)]
    steps = (look_at(comparison, verdict), next_step_of(comparison, verdict, bump))
    parts += [f"Next: {sentence(step)}" for step in steps if step]
    return "\n\n".join(parts) + "\n"


def _broken(found: Sequence[Breakage], table: Table, *, title: str) -> str:
    """What is broken, cause by cause, with what is known of it where that is anything."""
    rows = []
    for each in found:
        names = ", ".join(code(name) for name in each.names)
        told = [f"{label}: {words.rstrip('.')}." for label, words in told_of(each.first, table.run)]
        error = detail(each.first, length=SHORT_ERROR)
        rows.append((names, state(each.first), text(error), text(" ".join(told).replace("`", ""))))
    header = (title, "outcome", "error", "what is known of it")
    shown = len(header) if any(row[-1] for row in rows) else len(header) - 1
    return markdown_table(header[:shown], [row[:shown] for row in rows])


def _bands(strategies: Sequence[str]) -> list[Sequence[str]]:
    """The strategies parted into tables of much the same width, of which each fits a page."""
    count = max(1, math.ceil(len(strategies) / _BAND))
    size = math.ceil(len(strategies) / count)
    return [strategies[start : start + size] for start in range(0, len(strategies), max(size, 1))] or [()]


def _band(grid: Grid, rates: Mapping[str, str], strategies: Sequence[str]) -> str:
    rows = [
        (code(m), *(grid_text(grid.cells[m, s]) if (m, s) in grid.cells else "" for s in strategies))
        for m in grid.planned(strategies)
    ]
    rows.append((f"**{SUCCESS}**", *(rates.get(strategy, "") for strategy in strategies)))
    return markdown_table(("model", *(code(s) for s in strategies)), rows)


def _environment(comparison: Comparison, verdict: Verdict | None) -> list[str]:
    bumped = f"**{bumped_title(comparison)}**"
    if comparison.bumped:
        bumped += f": {text('; '.join(packages_texts(comparison.bumped, arrow=_ARROW)))}"
    also = f"**{also_title(comparison)}**"
    if comparison.also_differs:
        also += f": {text('; '.join(packages_texts(comparison.also_differs, arrow=_ARROW)))}"
    return [bumped, also, "\n".join(f"- {sentence(note)}" for note in notes(comparison, verdict))]


def _cause(cause: Cause, candidate: Run) -> list[str]:
    """One cause: its cells, and what is known of it as a block that keeps every character as it is."""
    named = ", ".join(code(change.name) for change in cause.changes)
    by_policy = f", {text(cause.by_policy)}" if cause.by_policy else ""
    parts = [f"- {transition(cause.first, arrow=_ARROW)}{by_policy}: {named}"]
    told = [f"{label}: {known}" for label, known in evidence(cause, candidate)]
    return [*parts, fenced(told, indent=2)] if told else parts


def _moved(comparison: Comparison) -> list[str]:
    rows = [
        (code(model), code(inputs), *(text(cell) for cell in rest)) for model, inputs, *rest in moved_rows(comparison)
    ]
    return [f"#### {MOVED_TITLE}", MOVED_MEANING, markdown_table(MOVED_HEADER, rows)] if rows else []


def _accuracy(found: Accuracies) -> list[str]:
    if not found.rows:
        return [f"{accuracy.TITLE}: {found.rest}"] if found.rest else []
    rows = [(code(name), *cells) for name, *cells in found.rows]
    return [f"#### {accuracy.TITLE}", markdown_table(found.header, rows), *([found.rest] if found.rest else [])]


def _duelled(comparison: Comparison, verdict: Verdict | None) -> list[str]:
    if verdict is None or verdict.duelled is None or not verdict.duelled.cells:
        return []
    rows = [(code(name), *map(text, cells)) for name, *cells in duelled_rows(verdict.duelled)]
    rest = "\n".join(f"- {sentence(line)}" for line in duelled_rest(verdict.duelled, comparison.base))
    return [
        f"#### {DUELLED_TITLE}",
        *([markdown_table(DUELLED_HEADER, rows)] if rows else []),
        *([rest] if rest else []),
    ]


def _shifts(comparison: Comparison, verdict: Verdict | None) -> list[str]:
    told = verdict.told if verdict else frozenset()
    memory, latency = memory_lines(comparison), latency_lines(comparison, told)
    latency_title = REST_LATENCY_TITLE if told else LATENCY_TITLE
    parts = [] if memory or not (none := memory_line(comparison)) else [none]
    for title, said in ((MEMORY_TITLE, memory), (latency_title, latency)):
        parts += [f"#### {title}", "\n".join(f"- {text(line)}" for line in said)] if said else []
    return parts


def _figures(comparison: Comparison) -> list[str]:
    found = figures(comparison, arrow=_ARROW)
    if not found.cells:
        return []
    if not found.rows:
        return [f"{FIGURES_TITLE}: {found.rest}"]
    rows = [(code(name), *cells) for name, *cells in found.rows]
    return [f"#### {FIGURES_TITLE}", markdown_table(found.header, rows), *([found.rest] if found.rest else [])]
