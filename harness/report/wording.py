"""The words that every report uses for a cell, a change and a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.bench.record import ERROR_LENGTH, Record
from harness.bench.stages import Outcome, Stage
from harness.tables.schema import Run
from harness.verdict.comparison import Category, CellChange, Comparison
from harness.verdict.environments import PackageChange
from harness.verdict.gate import Verdict, count_of

SHORT_ERROR = 160
"""Characters of an error where many are listed."""

NO_RECORD = "no record"
SHOWN_PACKAGES = 30
"""How many differing packages are named before the rest is only counted."""


def plain(text: str, *, length: int = ERROR_LENGTH) -> str:
    """`text` on one line, without control characters, at most `length` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def state(record: Record | None) -> str:
    """What became of a cell: `passed`, `failed at load`, `not applicable`."""
    if record is None:
        return NO_RECORD
    words = record.outcome.value.replace("-", " ") if record.outcome is not Outcome.OUT_OF_MEMORY else "out-of-memory"
    settled = record.outcome in (Outcome.PASSED, Outcome.NOT_APPLICABLE, Outcome.UNRESOLVABLE)
    return words if settled else f"{words} at {record.stage.value}"


def grid_text(record: Record | None) -> str:
    """The state as a grid shows it, in few characters; a passed cell shows its latency."""
    if record is None:
        return NO_RECORD
    if record.outcome is Outcome.NOT_APPLICABLE:
        return "n/a"
    if record.outcome is Outcome.PASSED:
        return "ok" if record.latency_ms is None else f"ok {number(record.latency_ms)} ms"
    return state(record)


def number(value: float) -> str:
    """About three significant digits, never with an exponent."""
    magnitude = abs(value)
    digits = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3  # noqa: PLR2004
    return f"{value:.{digits}f}"


def detail(record: Record | None, *, length: int = ERROR_LENGTH) -> str:
    """Why a cell does not pass: the error's class and message, and the first difference from the native output."""
    if record is None:
        return ""
    error = ": ".join(part for part in (record.error_type, record.error) if part)
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
    kind = f"{run.device}, tier {run.tier}" + (", selected cells" if run.selected else "")
    return f"{run.combination}: {kind}, {cells}, started {run.started}, Python {run.python}"


def machine_line(run: Run) -> str:
    """One line on the machine of a run."""
    machine = run.machine
    gpu = f", {run.gpu.count} x {run.gpu.name} (driver {run.driver or 'unknown'})" if run.gpu else ""
    return f"{machine.cpu}, {machine.cores} cores, {machine.memory_mb} MiB, {machine.os}{gpu}, {run.threads} threads"


def package_text(change: PackageChange, *, arrow: str = "->") -> str:
    """`torch 2.0.1 -> 2.1.0`."""
    return f"{change.name} {change.base or 'absent'} {arrow} {change.candidate or 'absent'}"


def packages_text(changes: Iterable[PackageChange], *, arrow: str = "->") -> str:
    """Package changes as one list; what is beyond a screenful is only counted."""
    texts = [package_text(change, arrow=arrow) for change in changes]
    rest = len(texts) - SHOWN_PACKAGES
    return ", ".join(texts[:SHOWN_PACKAGES]) + (f", and {rest} more" if rest > 0 else "")


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
        known = comparison.base.packages and comparison.candidate.packages
        return "Also differs: no other installed package" if known else "Also differs: not known"
    count = len(comparison.also_differs)
    return f"Also differs: {count} installed package{'' if count == 1 else 's'} beside the bumped pins"


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
    return f"{count_of(len(comparison.changes))}: {', '.join(parts)}"


def unchanged_line(comparison: Comparison) -> str:
    """How many cells did not change, and what they are."""
    changes = comparison.of(Category.UNCHANGED)
    inside = outcomes(change.candidate for change in changes if change.candidate)
    return f"Unchanged: {count_of(len(changes))}" + (f" ({inside})" if inside else "")


def next_step(comparison: Comparison) -> str:
    """One sentence on what to do now."""
    base, candidate = comparison.base, comparison.candidate
    flags = f"--tier {candidate.tier} --device {candidate.device}"
    worse = [change for change in comparison.changes if change.category.worse and change.candidate]
    if worse and all(c.candidate and c.candidate.stage in (Stage.RESOLVE, Stage.INSTALL) for c in worse):
        return f"mend the pins of {candidate.combination} until its environment can be had, then run it again."
    if worse:
        first = min(worse, key=lambda change: list(Category).index(change.category))
        pins = ", ".join(change.name for change in comparison.bumped)
        hold = f" Hold back {pins} until it is mended." if pins else ""
        chosen = f"--models {first.model} --strategies {first.strategy}"
        return f"`harness run {candidate.combination} {chosen} {flags}` runs the first of them alone.{hold}"
    if not candidate.complete or comparison.of(Category.MISSING_IN_CANDIDATE):
        return f"`harness run {candidate.combination} {flags}` records what the candidate lacks."
    if not base.complete or comparison.of(Category.MISSING_IN_BASE):
        return (
            f"`harness run {base.combination} --tier {base.tier} --device {base.device}` records what the base lacks."
        )
    if comparison.of(Category.NOT_COMPARABLE) or not comparison.changes:
        return f"`harness run {base.combination} {candidate.combination} {flags}` runs both with the same model files."
    return "nothing to mend: nothing that worked in the base is lost in the candidate."
