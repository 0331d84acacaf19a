"""The history of cells in a terminal: a few of them run by run, many of them a line each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harness.bench.stages import Outcome
from harness.report.following import Number
from harness.report.histories import CellHistory, CellRun, Series
from harness.report.latency import CARE, doubts_in
from harness.report.lines import GAP, aligned, annotated, show, wrapped
from harness.report.sparks import ASCII, BLOCKS, CHANGE, sparkline
from harness.report.wording import number as digits
from harness.report.wording import outcomes, plain, state
from harness.verdict.changepoints import ChangePoint
from harness.verdict.comparison import count_of

LETTERS = {
    Outcome.PASSED: ".",
    Outcome.FAILED: "F",
    Outcome.MISMATCHED: "M",
    Outcome.CRASHED: "C",
    Outcome.TIMED_OUT: "T",
    Outcome.OUT_OF_MEMORY: "O",
    Outcome.UNRESOLVABLE: "U",
    Outcome.NOT_APPLICABLE: "-",
}
"""An outcome in a character, as pytest has them."""

_STYLES = {Outcome.PASSED: "green", Outcome.NOT_APPLICABLE: "dim", Outcome.MISMATCHED: "magenta"}
_LEAST_NAME = 24
_HARDLY = 1.02
_SHORT_SERIES = 8
_WIDE = 120
"""Runs of a cell in a table of many, and the width from which on they are twice as many."""


def print_histories(console: Console, cells: Sequence[CellHistory], *, by_run: bool) -> None:
    """Print cells with a line a run under sparklines of their numbers, or a line a cell."""
    glyphs = BLOCKS if console.encoding.lower().startswith("utf") else ASCII
    if not by_run:
        show(console, table_lines(cells, width=console.width, glyphs=glyphs))
        return
    for index, cell in enumerate(cells):
        show(console, [Text()] * bool(index) + cell_lines(cell, width=console.width, glyphs=glyphs))


def cell_lines(cell: CellHistory, *, width: int, glyphs: str = BLOCKS) -> list[Text]:
    """One cell: how many runs came to what, its numbers on each machine, and a line a run."""
    told = f"{cell.cell_id} on {cell.device}: {_runs_of(len(cell.runs))}, {outcomes(run.record for run in cell.runs)}"
    first = cell.runs[0].sighting.run
    pins = ", ".join(f"{name} {version}" for name, version in sorted(first.pins.items()))
    lines = [Text(told, style="bold")]
    lines += wrapped(f"first run with {pins or 'no pins'}", width=width, indent=2, style="dim")
    names = {conditions: _letter(index) for index, conditions in enumerate(cell.conditions)}
    for conditions, name in names.items():
        lines += wrapped(f"{name}: {conditions}", width=width, indent=2, style="dim")
        for series in cell.series:
            if series.conditions == conditions:
                lines += _series_lines(series, cell, width=width, glyphs=glyphs)
    header = [Text("run"), Text("on"), Text("outcome"), *(Text(number.title) for number in Number)]
    rows = [header, *(_row(run, names[run.conditions]) for run in cell.runs)]
    lines += [Text(), *annotated(rows, ["", *_notes(cell)], width=width)]
    if doubts := doubts_in(run.record for run in cell.runs if run.record.latency_ms is not None):
        lines += wrapped(f"{CARE}: to be taken with care ({', '.join(doubts)})", width=width, indent=2, style="dim")
    return lines


def _letter(index: int) -> str:
    """A to Z, then A1 to Z1 and so on, as on the page."""
    return f"{chr(ord('A') + index % 26)}{index // 26 or ''}"


def _runs_of(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _row(run: CellRun, machine: str) -> list[Text]:
    record = run.record
    told = Text(state(record), style=_STYLES.get(record.outcome, "red"))
    care = CARE if record.latency_quality else ""
    numbers = [care * (kind is Number.LATENCY) + _number(kind, kind.of(record)) for kind in Number]
    return [Text(_moment(run)), Text(machine), told, *(Text(each) for each in numbers)]


def _number(kind: Number, value: float | None) -> str:
    return "" if value is None else f"{digits(value)} {kind.unit}"


def _moment(run: CellRun) -> str:
    return run.sighting.run.started[:16].replace("T", " ")


def _series_lines(series: Series, cell: CellHistory, *, width: int, glyphs: str) -> list[Text]:
    """A sparkline with its ends, and what changed when; of one value only that."""
    room = max(width - 50, _SHORT_SERIES)
    shown = series.values[-room:]
    left_out = len(series.values) - len(shown)
    changes = {series.runs.index(each.index) - left_out for each in series.changes}
    spark = sparkline(shown, changes, glyphs=glyphs)
    low, high = digits(min(series.values)), digits(max(series.values))
    ends = f"{low} {series.number.unit}" if low == high else f"{low} to {high} {series.number.unit}"
    last = f" (the newest {len(shown)} of {len(series.values)} runs)" if left_out else ""
    drawn = f"{spark}  " if len(shown) > 1 else ""
    found = [Text(f"     {series.number.title:7}  {drawn}{ends}{last}")]
    for each in series.changes:
        told = f"{_change(series.number, each)} since {_moment(cell.runs[each.index])}"
        found += wrapped(told, width=width, indent=14, style="bold yellow")
    return found


def _change(kind: Number, change: ChangePoint) -> str:
    return f"{change.share:+.0%} ({digits(change.before)} to {digits(change.after)} {kind.unit})".replace("%", " %", 1)


def _notes(cell: CellHistory) -> list[str]:
    """Beside each run: numbers that changed there, what moved, who saw it, and a cause where it is another one."""
    said = []
    for index, run in enumerate(cell.runs):
        notes = [
            f"{series.number.title} {_change(series.number, each)} from here on"
            for series in cell.series
            for each in series.changes
            if each.index == index
        ]
        notes += run.moved
        if run.record.carried_from:
            notes.append(f"carried over: the run of {run.record.carried_from[:16].replace('T', ' ')} saw it")
        if run.cause:
            known = index > 0 and cell.runs[index - 1].record.fingerprint == run.record.fingerprint
            notes.append((run.record.fingerprint if known else None) or run.cause)
        said.append(plain("; ".join(notes)))
    return said


def table_lines(cells: Sequence[CellHistory], *, width: int, glyphs: str = BLOCKS) -> list[Text]:
    """A line a cell: its outcomes, the newest last, and its numbers on the machine of the newest run that has them."""
    header = ["cell", "runs", "outcomes"]
    several = len({cell.device for cell in cells}) > 1
    short = _SHORT_SERIES * (2 if width >= _WIDE else 1)
    rows = [
        [cell.cell_id + f" on {cell.device}" * several, str(len(cell.runs)), _letters(cell, short)] for cell in cells
    ]
    for kind in Number:
        newest = [cell.newest(kind) for cell in cells]
        if any(newest):
            header += [kind.title, ""]
            told = [
                [_number(kind, each.values[-1]), _spark(each, short, glyphs)] if each else ["", ""] for each in newest
            ]
            rows = [[*row, *numbers] for row, numbers in zip(rows, told, strict=True)]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    lines = _beside_names(header, rows, width=width)
    there = {run.record.outcome for cell in cells for run in cell.runs[-short:]}
    legend = ", ".join(f"{letter} {each.value.replace('-', ' ')}" for each, letter in LETTERS.items() if each in there)
    lines.append(Text())
    for said in (
        f"Outcomes, the newest last: {legend}.",
        f"Numbers are of the machine of the newest run that has them; a {CHANGE} parts two levels.",
        f"{count_of(len(cells))}, a line each. --runs has a line for each run of each.",
    ):
        lines += wrapped(said, width=width, indent=0, style="dim")
    return lines


def _beside_names(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> list[Text]:
    """A table under its header; a name without room beside its row stands above it, whole."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    room = max(width - sum(widths[1:]) - len(GAP) * (len(widths) - 1), _LEAST_NAME)
    fits = [len(row[0]) <= room for row in rows]
    beside = [row if fit else ["", *row[1:]] for row, fit in zip(rows, fits, strict=True)]
    first, *lines = aligned([[Text(cell) for cell in row] for row in (header, *beside)])
    above = [[] if fit else [Text(row[0])] for row, fit in zip(rows, fits, strict=True)]
    return [first, *(each for name, line in zip(above, lines, strict=True) for each in (*name, line))]


def _letters(cell: CellHistory, short: int) -> str:
    return "".join(LETTERS[run.record.outcome] for run in cell.runs[-short:])


def _spark(series: Series, short: int, glyphs: str) -> str:
    """A sparkline of the newest runs; none of a number that hardly moved."""
    shown = series.values[-short:]
    if max(shown) < min(shown) * _HARDLY:
        return ""
    start = len(series.values) - len(shown)
    return sparkline(shown, {series.runs.index(each.index) - start for each in series.changes}, glyphs=glyphs)
