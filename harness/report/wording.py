"""The words that every report uses for a cell, a change and a verdict."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable

from harness.bench.record import ERROR_LENGTH, Record
from harness.bench.series import values_of
from harness.bench.stages import Outcome
from harness.bench.text import one_line
from harness.report.latency import CARE, care_note
from harness.tables.schema import Run, Table
from harness.verdict.causes import WITHOUT_STAGE
from harness.verdict.changepoints import Measured
from harness.verdict.comparison import Category, CellChange, Comparison, count_of
from harness.verdict.environments import PackageChange, packages_known
from harness.verdict.gate import Verdict, natives_words
from harness.verdict.natives import Movement, NativeChange
from harness.verdict.policy import LATENCY_NOTE

SHORT_ERROR = 160
"""Characters of an error where many are listed."""

_READ = 10_000
"""Characters that are read beyond those that are shown: what nobody sees is not gone through."""

NO_RECORD = "no record"
COMPACT_LEGEND = "ok: passed, with its latency in ms; at convert: failed at that stage, and so on."
SUCCESS = "passed"
UNPROBED = "unprobed"
DERIVED = "derived"
MARK_LEGENDS = {
    UNPROBED: "passed on its example alone: every probe was skipped, or there is none",
    DERIVED: "passed on probes made from the example, since the model's file has none",
}
"""What the mark of a passed cell means."""


def plain(text: str, *, length: int = ERROR_LENGTH) -> str:
    """`text` on one line, with nothing in it that acts or hides, at most `length` characters."""
    line = one_line(text[: _READ + length])
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def models_told(series: str, *, length: int) -> str:
    """The `--models` of a run as `plain` text: where all have no room, those that do, and how many are left out."""
    if len(series) <= length:
        return plain(series, length=length)
    try:
        values = values_of(series) if len(series) <= _READ else series.split()
    except ValueError:  # no shell could take it apart, and we did not write it
        values = series.split()
    names = [plain(shlex.quote(value), length=length) for value in values[:length]]
    for kept in range(len(names) - 1, 0, -1):
        told = f"{' '.join(names[:kept])} and {len(values) - kept} more"
        if len(told) <= length:
            return told
    more = f" and {len(values) - 1} more" if len(values) > 1 else ""
    return f"{plain(names[0] if names else series, length=length - len(more))}{more}"


def state(record: Record | None) -> str:
    """What became of a cell: `passed`, `failed at load`, `not applicable`."""
    if record is None:
        return NO_RECORD
    words = record.outcome.value.replace("-", " ")
    return words if record.outcome in WITHOUT_STAGE else f"{words} at {record.stage.value}"


def mark(record: Record | None) -> str:
    """What a passed cell rests on where that is less than probes of its own: a key of `MARK_LEGENDS`, or nothing."""
    if record is None or record.outcome is not Outcome.PASSED:
        return ""
    if not record.probes_passed:
        return UNPROBED
    return DERIVED if record.probes_derived else ""


def grid_text(record: Record | None) -> str:
    """The state as a grid shows it, in few characters; a passed cell shows its latency, and what it lacks."""
    if record is None:
        return NO_RECORD
    if record.outcome is Outcome.NOT_APPLICABLE:
        return "n/a"
    if record.outcome is Outcome.PASSED:
        care = CARE if record.latency_quality else ""
        latency = "" if record.latency_ms is None else f" {care}{number(record.latency_ms)} ms"
        return f"ok{latency}{f', {marked}' if (marked := mark(record)) else ''}"
    return state(record)


def compact_text(record: Record | None) -> str:
    """What `grid_text` says, in a grid that would not fit otherwise; `COMPACT_LEGEND` explains it."""
    if record is None or record.outcome in (Outcome.NOT_APPLICABLE, Outcome.UNRESOLVABLE):
        return grid_text(record)
    if record.outcome is Outcome.PASSED:
        return grid_text(record).replace(" ms", "")
    return f"at {record.stage.value}" if record.outcome is Outcome.FAILED else record.outcome.value.replace("-", " ")


def number(value: float) -> str:
    """About three significant digits, never with an exponent."""
    magnitude = abs(value)
    digits = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3  # noqa: PLR2004
    return f"{value:.{digits}f}"


def detail(record: Record | None, *, length: int = ERROR_LENGTH) -> str:
    """Why a cell does not pass: the error's class and message, and the first difference from the native output."""
    if record is None:
        return ""
    # Of a cell that cannot exist the reason is all there is to say; the class of the error says it again.
    error_type = None if record.outcome is Outcome.NOT_APPLICABLE else record.error_type
    error = ": ".join(part for part in (error_type, record.error) if part)
    parts = [error] if error else []
    if record.difference and record.difference not in error:
        parts.append(record.difference)
    return plain("; ".join(parts), length=length)


def transition(change: CellChange, *, arrow: str = "->") -> str:
    """`passed -> failed at load`."""
    return f"{state(change.base)} {arrow} {state(change.candidate)}"


def outcomes(records: Iterable[Record]) -> str:
    """`20 passed, 6 failed`, in the order of outcomes."""
    counts = Counter(record.outcome for record in records)
    return ", ".join(f"{counts[o]} {o.value.replace('-', ' ')}" for o in Outcome if counts[o])


def run_line(run: Run) -> str:
    """One line on what a table is of."""
    cells = f"{run.recorded} of {count_of(run.planned)}"
    models = f", models {run.models}" if run.models else ""
    kind = f"{run.device}, tier {run.tier}{models}" + (", selected cells" if run.selected else "")
    python = f"Python {run.python}" if run.python else "no environment"
    return f"{run.combination}: {kind}, {cells}, started {run.started}, {python}"


def machine_line(run: Measured) -> str:
    """One line on the machine of a run, with its GPU and the threads that were asked for."""
    machine = run.machine
    gpu = f", {run.gpu.count} x {run.gpu.name} (driver {run.driver or 'unknown'})" if run.gpu else ""
    threads = f"{run.threads} thread{'' if run.threads == 1 else 's'}"
    return f"{machine.cpu}, {machine.cores} cores, {machine.memory_mb} MiB, {machine.os}{gpu}, {threads}"


_RUNS = 3


def carried_line(table: Table) -> str:
    """One line on the cells that a run did not run, and who did; empty where it ran all."""
    seen = Counter(record.carried_from for record in table.records if record.carried_from)
    if not seen:
        return ""
    first = [f"{count} from {started}" for started, count in sorted(seen.items(), reverse=True)[:_RUNS]]
    more = f" and {len(seen) - _RUNS} earlier runs" if len(seen) > _RUNS else ""
    return f"{seen.total()} of them carried over, since nothing changed for them: {', '.join(first)}{more}"


def not_reproducible_texts(run: Run) -> list[str]:
    """The cells that were run again with nothing changed and came to something else, a line each."""
    return [f"{each.cell}: {each.before} in the run of {each.seen}, {each.now} now" for each in run.not_reproducible]


def package_text(change: PackageChange, *, arrow: str = "->") -> str:
    """`torch 2.0.1 -> 2.1.0`; in an extension's environment `tools: onnx2tf 1.17.5 -> 1.28.8`."""
    name = f"{change.extension}: {change.name}" if change.extension else change.name
    return f"{name} {change.base or 'absent'} {arrow} {change.candidate or 'absent'}"


def bumped_title(comparison: Comparison) -> str:
    """What heads the list of bumped pins, or stands in its place."""
    if comparison.bumped:
        return "Bumped"
    if comparison.base.pins or comparison.candidate.pins:
        return "Bumped: no pin differs"
    return "Bumped: neither side has pins"


def also_title(comparison: Comparison) -> str:
    """What heads the list of the other packages that differ, or stands in its place."""
    if not comparison.also_differs:
        known = packages_known(comparison.base, comparison.candidate)
        return "Also differs: no other installed package" if known else "Also differs: not known"
    count = len(comparison.also_differs)
    beside = " beside the bumped pins" if comparison.bumped else ""
    return f"Also differs: {count} installed package{'' if count == 1 else 's'}{beside}"


def headline(comparison: Comparison, verdict: Verdict | None) -> str:
    """The verdict and its reasons; without a verdict, how many cells are what."""
    if verdict is not None:
        return f"{verdict.decision.value}: {', '.join(verdict.reasons)}"
    worse = sum(change.category.worse for change in comparison.changes)
    untold = sum(change.category.untold for change in comparison.changes)
    better = len(comparison.of(Category.FIXED, Category.FAILING_LATER))
    unchanged = len(comparison.of(Category.UNCHANGED))
    other = len(comparison.changes) - worse - untold - better - unchanged
    parts = [f"{worse} worse", f"{better} better", f"{unchanged} unchanged"]
    parts += [f"{other} different"] if other else []
    parts += [f"{untold} not compared"] if untold else []
    parts += [natives_words(comparison.moved_natives)] if comparison.moved_natives else []
    return f"{count_of(len(comparison.changes))}: {', '.join(parts)}"


def unchanged_line(comparison: Comparison) -> str:
    """How many cells did not change, and what they are."""
    changes = comparison.of(Category.UNCHANGED)
    inside = outcomes(change.candidate for change in changes if change.candidate)
    return f"Unchanged: {count_of(len(changes))}" + (f" ({inside})" if inside else "")


MOVED_TITLE = "Moved native outputs: PyTorch itself computes something else here"
MOVED_MEANING = (
    "Conversions are held against the native output of their own environment, and so moved with it: no cell tells this."
)
MOVED_HEADER = ("model", "input set", "output", "relative error")


def moved_rows(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """The native outputs that moved: model, the input set and output where it shows most, and by how much."""
    return [(each.model, each.input_set, plain(each.output), moved_by(each)) for each in comparison.moved_natives]


def moved_by(change: NativeChange) -> str:
    """`3.1e-02`, or what differs where values cannot be compared."""
    return plain(change.difference) if change.relative_error is None else f"{change.relative_error:.1e}"


def natives_line(comparison: Comparison) -> str:
    """How the native outputs compare, with the models that moved within rounding; empty where none were compared."""
    of = {movement: [each for each in comparison.natives if each.movement is movement] for movement in Movement}
    parts = [f"{len(found)} {movement.value}" for movement, found in of.items() if found]
    if not parts:
        return ""
    line = f"Native outputs of {_models(len(comparison.natives))}: {', '.join(parts)}."
    rounded = of[Movement.ROUNDING]
    if rounded:
        most = max(rounded, key=lambda each: each.relative_error or 0.0)
        names = ", ".join(each.model for each in rounded)
        line += f" Within rounding: {names}; largest relative error {moved_by(most)} ({most.model})."
    return line


def _models(count: int) -> str:
    return f"{count} model{'' if count == 1 else 's'}"


def notes(comparison: Comparison, verdict: Verdict | None) -> tuple[str, ...]:
    """What to know before believing the comparison, and what the verdict does not rest on."""
    left_out = comparison.numbers_left_out
    told = verdict.told if verdict else frozenset()
    whose = "Latency and memory of the tables, not what the duel timed," if told else "Latency and memory"
    said = [f"{whose} are left out: {left_out}."] if left_out else []
    said += [care] if (care := care_note(comparison, told)) else []
    return (*comparison.notes, *said, *(verdict.notes if verdict else (LATENCY_NOTE,)))
