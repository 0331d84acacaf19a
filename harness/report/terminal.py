"""Reports for a terminal: lines of styled text, without boxes, that read as well in a log file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.text import Text

from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.bump.schema import Bump
from harness.report import accuracy, expected
from harness.report.accuracy import Accuracies, accuracies, accuracy_changes
from harness.report.bump import blame_lines
from harness.report.causes import WORSE_SECTION, evidence, sections
from harness.report.diagnoses import told_of
from harness.report.duelled import DUELLED_HEADER, DUELLED_TITLE, duelled_rest, duelled_rows
from harness.report.families import SHOWN_PACKAGES, family_lines
from harness.report.figures import FIGURES_TITLE, figures
from harness.report.grids import Breakage, Grid, breakages, grid_of, legends, not_applicable, success_rates, summary
from harness.report.lines import GAP, Line, Rows, aligned, next_lines, show, wrapped
from harness.report.next_steps import look_at, look_at_cell
from harness.report.shifts import (
    LATENCY_TITLE,
    MEMORY_TITLE,
    REST_LATENCY_TITLE,
    latency_lines,
    memory_line,
    memory_lines,
)
from harness.report.wayout import next_step_of, way_out_lines
from harness.report.wording import (
    COMPACT_LEGEND,
    MOVED_HEADER,
    MOVED_MEANING,
    MOVED_TITLE,
    SHORT_ERROR,
    SUCCESS,
    also_title,
    bumped_title,
    carried_line,
    compact_text,
    detail,
    grid_text,
    headline,
    machine_line,
    moved_rows,
    natives_line,
    not_reproducible_texts,
    notes,
    package_text,
    plain,
    run_line,
    state,
    transition,
    unchanged_line,
)
from harness.tables.schema import Run, Table
from harness.verdict.causes import Cause
from harness.verdict.comparison import MEANINGS, Comparison, count_of
from harness.verdict.expectations import Foreseen
from harness.verdict.gate import Decision, Verdict

_DECISION_STYLES = {
    Decision.MAY_MERGE: "bold green",
    Decision.DO_NOT_MERGE: "bold red",
    Decision.CANNOT_TELL: "bold yellow",
}
_SECTION_STYLES = {"Worse": "bold red", "Better": "bold green", "Not compared": "bold yellow"}


def print_grid(console: Console, table: Table, foreseen: Foreseen | None = None) -> None:
    """Print a table: models x strategies, how many cells came to what, and what is broken, cause by cause.

    What is broken as `foreseen` stands apart.
    """
    show(console, grid_lines(table, foreseen, width=console.width))


def print_foreseen(console: Console, tables: Sequence[Table], foreseen: Foreseen) -> None:
    """Print what expectations make of tables: the unexpected cells first, cause by cause, then the expectations."""
    show(console, foreseen_lines(tables, foreseen, width=console.width))


def print_comparison(
    console: Console, comparison: Comparison, verdict: Verdict | None = None, bump: Bump | None = None
) -> None:
    """Print a comparison, under its verdict where there is one, with who is to blame where that was looked for."""
    show(console, comparison_lines(comparison, verdict, bump, width=console.width))


def grid_lines(table: Table, foreseen: Foreseen | None = None, *, width: int) -> list[Line]:
    """The lines of `print_grid`.

    Columns that do not fit `width` follow below in bands of their own, without the models that have no cell there,
    and with shorter words.
    """
    lines: list[Line] = [Text(run_line(table.run), style="bold"), Text(machine_line(table.run), style="dim")]
    lines += [Text(told, style="dim") for told in filter(None, [carried_line(table)])]
    grid = grid_of(table)
    rates = {strategy: f"{rate}{GAP}{rate.percent}".rstrip() for strategy, rate in success_rates(table).items()}
    bands = _bands(grid, _columns(grid, rates, grid_text), width=width)
    if len(bands) > 1:
        lines += [Text(), Text(COMPACT_LEGEND, style="dim")]
        bands = _bands(grid, _columns(grid, rates, compact_text), width=width)
    for band in bands:
        lines += [Text(), *_band_lines(grid, band)]
    lines += [Text(), Text(summary(table))]
    for legend in legends(table):
        lines += wrapped(legend, width=width, indent=2, hanging=2, style="dim")
    broken = replace(table, records=foreseen.unexpected) if foreseen else table
    lines += _broken_lines(broken, width=width, title=expected.UNEXPECTED if foreseen else "Broken")
    lines += _group_lines(expected.EXPECTED, expected.expected_groups(foreseen) if foreseen else [], width=width)
    lines += _group_lines(expected.PASSING, expected.passing_groups(foreseen) if foreseen else [], width=width)
    lines += _not_reproducible_lines([table], width=width)
    reasons = not_applicable(table)
    if reasons:
        lines += [Text(), Text("Not applicable", style="bold")]
        for reason, records in reasons.items():
            lines += wrapped(f"{count_of(len(records))}: {reason}", width=width, indent=2, hanging=2)
    lines += _accuracy_lines(accuracies(table))
    if table.run.missing:
        lines += [Text(), Text("Without a record", style="bold yellow")]
        lines += wrapped(", ".join(table.run.missing), width=width, indent=2)
    names = [name for each in breakages(broken) for name in each.names]
    if names and (step := look_at_cell(table.folder, names)):
        lines += [Text(), *next_lines(step, width=width)]
    return lines


def foreseen_lines(tables: Sequence[Table], foreseen: Foreseen, *, width: int) -> list[Text]:
    """The lines of `print_foreseen`."""
    style = "bold red" if foreseen.unexpected else "bold green"
    lines = [Text(expected.headline(foreseen), style=style)]
    lines += [Text(f"{GAP}{run_line(table.run)}") for table in tables]
    for table in tables:
        records = tuple(record for record in foreseen.unexpected if record in table.records)
        title = f"{table.run.combination}: {expected.UNEXPECTED.lower()}"
        lines += _broken_lines(replace(table, records=records), width=width, title=title)
    lines += _not_reproducible_lines(tables, width=width)
    groups = expected.expected_groups(foreseen, combination=True)
    lines += _group_lines(expected.EXPECTED, groups, width=width)
    for title, texts in expected.check_texts(foreseen):
        lines += [Text(), Text(title, style="bold yellow")]
        lines += [line for text in texts for line in wrapped(text, width=width, indent=2)]
    return lines


def _broken_lines(table: Table, *, width: int, title: str) -> list[Text]:
    found = breakages(table)
    lines = [Text(), Text(title, style="bold")] if found else []
    return lines + [line for each in found for line in _breakage_lines(each, table.run, width=width)]


def _not_reproducible_lines(tables: Sequence[Table], *, width: int) -> list[Text]:
    texts = [f"{each.run.combination}/{text}" for each in tables for text in not_reproducible_texts(each.run)]
    lines = [Text(), Text("Not reproducible, with nothing changed", style="bold red")] if texts else []
    return lines + [line for text in texts for line in wrapped(text, width=width, indent=2)]


def _group_lines(title: str, groups: Sequence[expected.Group], *, width: int) -> list[Text]:
    """Cells under what an expectation says of them."""
    lines = [Text(), Text(title, style="bold")] if groups else []
    for group in groups:
        count = f" ({count_of(len(group.cells))})" if len(group.cells) > 1 else ""
        lines.append(Text(f"{GAP}{group.title}{count}", style="dim"))
        lines += wrapped(", ".join(group.cells), width=width, indent=4, style="bold")
        lines += wrapped(group.why, width=width, indent=4)
    return lines


def _breakage_lines(breakage: Breakage, run: Run, *, width: int) -> list[Text]:
    count = f" ({count_of(len(breakage.records))})" if len(breakage.records) > 1 else ""
    lines = [Text(f"{GAP}{state(breakage.first)}{count}", style=_style(breakage.first))]
    lines += wrapped(", ".join(breakage.names), width=width, indent=4, style="bold")
    lines += wrapped(detail(breakage.first, length=SHORT_ERROR), width=width, indent=4)
    for label, text in told_of(breakage.first, run):
        lines += wrapped(f"{label}: {text}", width=width, indent=4)
    return lines


def _style(record: Record | None) -> str:
    if record is None:
        return "yellow"
    if record.outcome is Outcome.PASSED:
        return "green"
    if record.outcome is Outcome.NOT_APPLICABLE:
        return "dim"
    return "magenta" if record.outcome is Outcome.MISMATCHED else "red"


@dataclass(frozen=True)
class _Column:
    """One strategy of a grid: its cells by model, and its success rate."""

    strategy: str
    cells: Mapping[str, Text]
    rate: str

    @property
    def width(self) -> int:
        return max(len(self.strategy), len(self.rate), *(cell.cell_len for cell in self.cells.values()))


def _columns(grid: Grid, rates: Mapping[str, str], words: Callable[[Record | None], str]) -> list[_Column]:
    columns = []
    for strategy in grid.strategies:
        records = {model: grid.cells[model, strategy] for model in grid.planned([strategy])}
        cells = {model: Text(words(record), style=_style(record)) for model, record in records.items()}
        columns.append(_Column(strategy, cells, rates.get(strategy, "")))
    return columns


def _bands(grid: Grid, columns: Sequence[_Column], *, width: int) -> list[list[_Column]]:
    """The columns parted into bands that fit `width` beside the models' names."""
    room = width - max(len(name) for name in ("model", SUCCESS, *grid.models))
    bands: list[list[_Column]] = []
    used = room
    for column in columns:
        needed = len(GAP) + column.width
        if used + needed > room or not bands:
            bands.append([])
            used = 0
        bands[-1].append(column)
        used += needed
    return bands


def _band_lines(grid: Grid, band: Sequence[_Column]) -> list[Text]:
    """A header, the models that have a cell in the band, and how many cells of each strategy passed."""
    models = grid.planned([column.strategy for column in band])
    rows = [[Text("model"), *(Text(column.strategy) for column in band)]]
    rows += [[Text(model), *(column.cells.get(model, Text()) for column in band)] for model in models]
    rows.append([Text(SUCCESS), *(Text(column.rate) for column in band)])
    *lines, last = aligned(rows)
    last.stylize("bold")
    return [*lines, last]


def comparison_lines(
    comparison: Comparison, verdict: Verdict | None, bump: Bump | None = None, *, width: int
) -> list[Line]:
    """The lines of `print_comparison`: the verdict first, then what changed, from the worst to the unchanged."""
    style = _DECISION_STYLES[verdict.decision] if verdict else "bold"
    lines: list[Line] = [*wrapped(headline(comparison, verdict), width=width, indent=0, style=style)]
    for side, run in (("base", comparison.base), ("candidate", comparison.candidate)):
        lines += wrapped(f"{side:9}  {run_line(run)}", width=width, indent=2, hanging=11)
    lines.append(Text())
    lines += [*blame_lines(bump, width=width), *way_out_lines(bump, width=width)] if bump else []
    lines += _environment_lines(comparison, verdict, width=width)
    moved = _moved_lines(comparison, width=width)
    for section in sections(comparison, verdict):
        if section.title != WORSE_SECTION:
            lines, moved = [*lines, *moved], []
        lines += [Text(), Text(section.title, style=_SECTION_STYLES.get(section.title, "bold"))]
        for category, causes in section.categories:
            count = len(comparison.of(category))
            told = f"{category.value} ({count_of(count)}): {MEANINGS[category]}"
            lines += wrapped(told, width=width, indent=2, hanging=2)
            for cause in causes:
                lines += _cause_lines(cause, comparison.candidate, width=width)
    lines += [*moved, Text(), Text(unchanged_line(comparison))]
    lines += wrapped(natives_line(comparison), width=width, indent=0)
    lines += _accuracy_lines(accuracy_changes(comparison))
    lines += [*_duelled_lines(comparison, verdict, width=width), *_shift_lines(comparison, verdict, width=width)]
    lines += [*_figure_lines(comparison), Text()]
    for step in (look_at(comparison, verdict), next_step_of(comparison, verdict, bump)):
        lines += next_lines(step, width=width) if step else []
    return lines


def _environment_lines(comparison: Comparison, verdict: Verdict | None, *, width: int) -> list[Text]:
    lines = [Text(bumped_title(comparison), style="bold")]
    lines += [Text(f"{GAP}{package_text(change)}") for change in comparison.bumped]
    lines += [Text(also_title(comparison), style="bold")]
    for text in family_lines(comparison.also_differs, most=SHOWN_PACKAGES):
        lines += wrapped(text, width=width, indent=2)
    for note in notes(comparison, verdict):
        first, *rest = wrapped(plain(note), width=width, indent=2)
        first.plain = f"- {first.plain[2:]}"
        lines += [first, *rest]
    return lines


def _cause_lines(cause: Cause, candidate: Run, *, width: int) -> list[Text]:
    count = f" ({count_of(len(cause.changes))})" if len(cause.changes) > 1 else ""
    by_policy = f", {cause.by_policy}" if cause.by_policy else ""
    lines = [Text(f"    {transition(cause.first)}{count}{by_policy}")]
    lines += wrapped(cause.cells, width=width, indent=6, style="bold")
    for label, text in evidence(cause, candidate):
        lines += wrapped(f"{label}: {text}", width=width, indent=6)
    return lines


def _moved_lines(comparison: Comparison, *, width: int) -> list[Line]:
    rows = moved_rows(comparison)
    if not rows:
        return []
    lines: list[Line] = [Text(), Text(MOVED_TITLE, style=_SECTION_STYLES[WORSE_SECTION])]
    lines += wrapped(MOVED_MEANING, width=width, indent=2)
    return [*lines, Rows(header=MOVED_HEADER, rows=rows)]


def _accuracy_lines(found: Accuracies) -> list[Line]:
    if not found.rows:
        return [Text(), Text(f"{accuracy.TITLE}: {found.rest}")] if found.rest else []
    lines: list[Line] = [Text(), Text(accuracy.TITLE, style="bold"), Rows(header=found.header, rows=found.rows)]
    return lines + ([Text(f"{GAP}{found.rest}")] if found.rest else [])


def _duelled_lines(comparison: Comparison, verdict: Verdict | None, *, width: int) -> list[Line]:
    if verdict is None or verdict.duelled is None or not verdict.duelled.cells:
        return []
    rows = duelled_rows(verdict.duelled)
    lines: list[Line] = [
        Text(),
        Text(DUELLED_TITLE, style="bold"),
        *([Rows(header=DUELLED_HEADER, rows=rows)] if rows else []),
    ]
    for text in duelled_rest(verdict.duelled, comparison.base):
        lines += wrapped(plain(text), width=width, indent=2)
    return lines


def _shift_lines(comparison: Comparison, verdict: Verdict | None, *, width: int) -> list[Text]:
    told = verdict.told if verdict else frozenset()
    memory, latency = memory_lines(comparison), latency_lines(comparison, told)
    latency_title = REST_LATENCY_TITLE if told else LATENCY_TITLE
    lines = [] if memory or not (none := memory_line(comparison)) else [Text(), Text(none)]
    for title, said in ((MEMORY_TITLE, memory), (latency_title, latency)):
        lines += [Text(), Text(title, style="bold")] if said else []
        lines += [line for text in said for line in wrapped(plain(text), width=width, indent=2)]
    return lines


def _figure_lines(comparison: Comparison) -> list[Line]:
    found = figures(comparison)
    if not found.cells:
        return []
    if not found.rows:
        return [Text(), Text(f"{FIGURES_TITLE}: {found.rest}")]
    lines: list[Line] = [Text(), Text(FIGURES_TITLE, style="bold"), Rows(header=found.header, rows=found.rows)]
    return lines + ([Text(f"{GAP}{found.rest}")] if found.rest else [])
