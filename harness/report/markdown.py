"""A table in Markdown. What a comparison is told by on a pull request is `harness.report.comment`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.report import accuracy
from harness.report.accuracy import Accuracies, accuracies
from harness.report.diagnoses import told_of
from harness.report.escaping import code, markdown_table, sentence, text
from harness.report.expected import EXPECTED, PASSING, UNEXPECTED, expected_groups, passing_groups
from harness.report.grids import Breakage, Grid, breakages, grid_of, legends, not_applicable, success_rates, summary
from harness.report.wording import (
    SHORT_ERROR,
    SUCCESS,
    detail,
    grid_text,
    machine_line,
    run_line,
    state,
)
from harness.tables.schema import Table
from harness.verdict.comparison import count_of
from harness.verdict.expectations import Foreseen

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


def _accuracy(found: Accuracies) -> list[str]:
    if not found.rows:
        return [f"{accuracy.TITLE}: {found.rest}"] if found.rest else []
    rows = [(code(name), *cells) for name, *cells in found.rows]
    return [f"#### {accuracy.TITLE}", markdown_table(found.header, rows), *([found.rest] if found.rest else [])]
