"""Reports for a terminal: lines of styled text, without boxes, that read as well in a log file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.report.causes import Cause, sections
from harness.report.figures import figures
from harness.report.grids import Grid, broken, grid_of, not_applicable, summary
from harness.report.wording import (
    SHORT_ERROR,
    also_title,
    bumped_title,
    detail,
    grid_text,
    headline,
    machine_line,
    next_step,
    notes,
    package_text,
    packages_texts,
    plain,
    run_line,
    state,
    transition,
    unchanged_line,
)
from harness.tables.schema import Table
from harness.verdict.comparison import MEANINGS, Comparison, count_of
from harness.verdict.gate import Decision, Verdict

_GAP = "  "
_DECISION_STYLES = {
    Decision.MAY_MERGE: "bold green",
    Decision.DO_NOT_MERGE: "bold red",
    Decision.CANNOT_TELL: "bold yellow",
}
_SECTION_STYLES = {"Worse": "bold red", "Better": "bold green", "Not compared": "bold yellow"}


def print_grid(console: Console, table: Table) -> None:
    """Print a table: models x strategies, how many cells came to what, and a line for each that is broken."""
    _print(console, grid_lines(table, width=console.width))


def print_comparison(console: Console, comparison: Comparison, verdict: Verdict | None = None) -> None:
    """Print a comparison, under its verdict where there is one."""
    _print(console, comparison_lines(comparison, verdict, width=console.width))


def _print(console: Console, lines: Iterable[Text]) -> None:
    for line in lines:
        # Soft wrapping leaves a long line whole, so that a log can be searched and an id copied.
        console.print(line, soft_wrap=True, highlight=False)


def grid_lines(table: Table, *, width: int) -> list[Text]:
    """The lines of `print_grid`. Columns that do not fit `width` follow below in a band of their own."""
    lines = [Text(run_line(table.run), style="bold"), Text(machine_line(table.run), style="dim")]
    grid = grid_of(table)
    for band in _bands(grid, width=width):
        lines += [Text(), *_band_lines(grid, band)]
    lines += [Text(), Text(summary(table))]
    tried = broken(table)
    if tried:
        lines += [Text(), Text("Broken", style="bold")]
        lines += [_broken_line(record) for record in tried]
    reasons = not_applicable(table)
    if reasons:
        lines += [Text(), Text("Not applicable", style="bold")]
        lines += [Text(f"{_GAP}{count_of(len(records))}: {reason}") for reason, records in reasons.items()]
    if table.run.missing:
        lines += [Text(), Text("Without a record", style="bold yellow")]
        lines += _wrapped(", ".join(table.run.missing), width=width, indent=2)
    return lines


def _broken_line(record: Record) -> Text:
    why = detail(record, length=SHORT_ERROR)
    return Text(f"{_GAP}{record.cell_id}{_GAP}").append(state(record), _style(record)).append(why and f"{_GAP}{why}")


def _style(record: Record | None) -> str:
    if record is None:
        return "yellow"
    if record.outcome is Outcome.PASSED:
        return "green"
    if record.outcome is Outcome.NOT_APPLICABLE:
        return "dim"
    return "magenta" if record.outcome is Outcome.MISMATCHED else "red"


def _cell(grid: Grid, model: str, strategy: str) -> Text:
    if (model, strategy) not in grid.cells:
        return Text()
    record = grid.cells[model, strategy]
    return Text(grid_text(record), style=_style(record))


def _column_width(grid: Grid, strategy: str) -> int:
    return max(len(strategy), *(_cell(grid, model, strategy).cell_len for model in grid.models))


def _bands(grid: Grid, *, width: int) -> list[list[str]]:
    """The strategies parted into bands that fit `width` beside the models' names."""
    room = width - max((len(model) for model in grid.models), default=0)
    bands: list[list[str]] = []
    used = room
    for strategy in grid.strategies:
        needed = len(_GAP) + _column_width(grid, strategy)
        if used + needed > room or not bands:
            bands.append([])
            used = 0
        bands[-1].append(strategy)
        used += needed
    return bands


def _band_lines(grid: Grid, strategies: Sequence[str]) -> list[Text]:
    rows = [[Text("model"), *(Text(strategy) for strategy in strategies)]]
    rows += [[Text(model), *(_cell(grid, model, strategy) for strategy in strategies)] for model in grid.models]
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[Text]]) -> list[Text]:
    """Rows as lines with their columns aligned; the first row is the header."""
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows):
        line = Text(style="bold" if number == 0 else "")
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell).append(" " * (width - cell.cell_len) + _GAP)
        line.rstrip()
        lines.append(line)
    return lines


def _wrapped(text: str, *, width: int, indent: int, style: str = "") -> list[Text]:
    room = max(width - indent, 40)
    parts = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return [Text(" " * indent + part, style=style) for part in parts]


def comparison_lines(comparison: Comparison, verdict: Verdict | None, *, width: int) -> list[Text]:
    """The lines of `print_comparison`: the verdict first, then what changed, from the worst to the unchanged."""
    style = _DECISION_STYLES[verdict.decision] if verdict else "bold"
    lines = _wrapped(headline(comparison, verdict), width=width, indent=0, style=style)
    lines += [Text(f"{_GAP}base       {run_line(comparison.base)}")]
    lines += [Text(f"{_GAP}candidate  {run_line(comparison.candidate)}"), Text()]
    lines += _environment_lines(comparison, verdict, width=width)
    for section in sections(comparison):
        lines += [Text(), Text(section.title, style=_SECTION_STYLES.get(section.title, "bold"))]
        for category, causes in section.categories:
            count = len(comparison.of(category))
            lines.append(Text(f"{_GAP}{category.value} ({count_of(count)}): {MEANINGS[category]}"))
            for cause in causes:
                lines += _cause_lines(cause, width=width)
    lines += [Text(), Text(unchanged_line(comparison)), *_figure_lines(comparison)]
    return [*lines, Text(), *_wrapped(f"Next: {next_step(comparison)}", width=width, indent=0)]


def _environment_lines(comparison: Comparison, verdict: Verdict | None, *, width: int) -> list[Text]:
    lines = [Text(bumped_title(comparison), style="bold")]
    lines += [Text(f"{_GAP}{package_text(change)}") for change in comparison.bumped]
    lines += [Text(also_title(comparison), style="bold")]
    for text in packages_texts(comparison.also_differs):
        lines += _wrapped(text, width=width, indent=2)
    for note in notes(comparison, verdict):
        first, *rest = _wrapped(plain(note), width=width, indent=2)
        first.plain = f"- {first.plain[2:]}"
        lines += [first, *rest]
    return lines


def _cause_lines(cause: Cause, *, width: int) -> list[Text]:
    count = f" ({count_of(len(cause.changes))})" if len(cause.changes) > 1 else ""
    lines = [Text(f"    {transition(cause.first)}{count}")]
    lines += _wrapped(cause.cells, width=width, indent=6, style="bold")
    for label, text in cause.evidence():
        lines += _wrapped(f"{label}: {text}", width=width, indent=6)
    return lines


def _figure_lines(comparison: Comparison) -> list[Text]:
    found = figures(comparison)
    if not found.rows:
        return []
    lines = [Text(), Text("Numbers of cells that pass on both sides", style="bold")]
    table = _aligned([[Text(cell) for cell in row] for row in (found.header, *found.rows)])
    lines += [Text(_GAP).append_text(line) for line in table]
    if found.hidden:
        lines.append(Text(f"{_GAP}and {count_of(found.hidden)} more, whose numbers moved less."))
    return lines
