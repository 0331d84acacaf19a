"""One cell, and all that was recorded of it, for a terminal: what became of it, why, where, and what it left."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.bench.kept import ARTIFACT_FILE
from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.bench.text import one_line, printable
from harness.report.diagnoses import told_of
from harness.report.launches import launch_lines
from harness.report.lines import show
from harness.report.wording import number, run_line, state
from harness.tables.launches import Launch
from harness.tables.schema import COLUMNS, Table
from harness.verdict.comparison import NOT_INSTALLED
from harness.verdict.expectations import packages_of

_NO_FIGURES = frozenset(
    {"combination", "extension", "model", "strategy", "device", "tier", "outcome", "stage", "error", "difference"}
)
"""Columns that stand elsewhere in what is told."""

_IN_SCRATCH = re.compile(r"<scratch>/([^\s'\",:;)\]]+)")
_LOG_LINES = 40


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What is known of a cell.

    `details` are None where only the row is there. `kept` is the folder of what the cell left, and `samples` the file
    with the samples of its table's launches; None where there is none. `alike` are the other cells with its
    fingerprint, `following` what to do, and `only_the_row` is told where there are no details.
    """

    table: Table
    record: Record
    details: Mapping[str, Any] | None
    details_file: Path | None = None
    kept: Path | None = None
    samples: Path | None = None
    alike: Sequence[str] = ()
    following: Sequence[str] = ()
    only_the_row: str = ""

    @property
    def launches(self) -> list[Launch]:
        """The launches of it that were timed, as far as its table keeps them."""
        return [launch for launch in self.table.launches if launch.cell == self.record.cell]

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        run = self.table.run
        return {
            "cell": self.record.cell_id,
            "table": str(self.table.folder),
            "row": self.record.to_json(),
            "details": None if self.details is None else dict(self.details),
            "details_file": None if self.details_file is None else str(self.details_file),
            "kept": None if self.kept is None else str(self.kept),
            "launches": [asdict(launch) for launch in self.launches],
            "samples": None if self.samples is None else str(self.samples),
            "packages": dict(packages_of(run, self.record.extension)),
            "python": run.python,
            "known": dict(told_of(self.record, run)),
            "alike": list(self.alike),
            "next": list(self.following),
        }


def print_recorded(console: Console, told: Recorded, *, whole: bool) -> None:
    """Print it; `whole` the log and the traceback too, instead of their ends."""
    show(console, recorded_lines(told, whole=whole))


def recorded_lines(told: Recorded, *, whole: bool = False) -> list[Text]:
    """The lines of `print_recorded`. What tools and users wrote is in them without anything that acts or hides."""
    lines = [Text(one_line(told.record.cell_id), style="bold")]
    lines += [Text(f"  {one_line(text)}") for text in _head(told)]
    if told.details is None:
        lines += _section("Only the row is here", [told.only_the_row])
    for title, texts in _parts(told, whole=whole):
        lines += _section(title, texts)
    return lines


def _section(title: str, texts: Sequence[str]) -> list[Text]:
    shown = [line.rstrip() for text in texts for line in printable(text).strip("\n").split("\n")]
    if not any(shown):
        return []
    return [Text(), Text(one_line(title), style="bold"), *(Text(f"  {line}") for line in shown)]


def _head(told: Recorded) -> Iterator[str]:
    record, run = told.record, told.table.run
    yield f"{state(record)}, on {record.device}, tier {record.tier}"
    yield f"table: {told.table.folder}"
    yield run_line(run)
    if record.carried_from:
        yield f"carried over: the run of {record.carried_from} saw it, and nothing with a say in it had changed"
    if told.details_file is not None:
        yield f"details: {told.details_file}"


def _parts(told: Recorded, *, whole: bool) -> Iterator[tuple[str, list[str]]]:
    record, details = told.record, told.details or {}
    if record.difference:
        yield "Difference", [str(details.get("error") or record.difference)]
    elif record.error:
        yield f"Error ({record.error_type})", [str(details.get("error") or record.error)]
    yield "What is known of it", [f"{label}: {text}" for label, text in told_of(record, told.table.run)]
    chain = [each for each in details.get("chain") or () if isinstance(each, Mapping)]
    yield (
        "The chain of exceptions, the outermost first",
        [f"{each.get('type')}: {each.get('message')}" for each in chain],
    )
    begins = details.get("begins") or {}
    yield "Where the mismatch begins", [f"{name}: {_figure(value)}" for name, value in begins.items() if value]
    yield "Input sets, against the native output", list(_sets(details.get("errors") or {}))
    yield "Launches", list(_launches(told))
    yield "Seconds", list(_seconds(details))
    crossed = details.get("crossed") or {}
    if crossed:
        yield "Artifact", [f"converted elsewhere, and served here: {crossed.get('folder')}"]
    yield "Traceback", [_end(str(details.get("traceback") or ""), whole=whole)]
    yield "The end of the log", [_end(str(details.get("log") or ""), whole=whole)]
    yield "What it left", list(_left(told))
    yield "Recorded", list(_columns(record))
    yield "Environment", list(_environment(told))
    yield f"Other cells with the fingerprint {record.fingerprint}", list(told.alike)
    yield "Next", list(told.following)


def _launches(told: Recorded) -> Iterator[str]:
    if not told.launches:
        return
    yield from launch_lines(told.record, told.launches)
    if told.samples is not None:
        yield f"raw samples: {told.samples}, one row a round"
    else:
        yield "raw samples: not here; they stay on the machine that made the table, as long as there is room"


def _sets(errors: Mapping[str, Any]) -> Iterator[str]:
    """A line for each output of each input set."""
    for name, outputs in errors.items():
        for index, figures in enumerate(outputs):
            told = ", ".join(f"{key} {_figure(value)}" for key, value in figures.items())
            yield f"{name}, output {index}: {told}" if len(outputs) > 1 else f"{name}: {told}"


def _figure(value: Any) -> str:
    return f"{value:.3e}" if isinstance(value, float) else str(value)


def _seconds(details: Mapping[str, Any]) -> Iterator[str]:
    parts = {"build": details.get("build_seconds") or {}, **(details.get("seconds") or {})}
    for part, stages in parts.items():
        if stages:
            yield f"{part}: " + ", ".join(f"{stage} {number(float(spent))} s" for stage, spent in stages.items())


def _end(text: str, *, whole: bool) -> str:
    lines = text.rstrip().splitlines()
    if whole or len(lines) <= _LOG_LINES:
        return "\n".join(lines)
    return "\n".join([f"[... {len(lines) - _LOG_LINES} lines before, which --whole shows ...]", *lines[-_LOG_LINES:]])


def _left(told: Recorded) -> Iterator[str]:
    kept = (told.details or {}).get("kept") or {}
    if told.kept is None:
        if kept.get("bytes"):
            yield "what it left was kept, and has gone since: the oldest go first where the limit of [keep] is reached"
        elif kept.get("left_out"):
            yield str(kept["left_out"])
        return
    yield f"kept in {told.kept}"
    if kept.get("left_out"):
        yield str(kept["left_out"])
    if (told.kept / ARTIFACT_FILE).is_file():
        yield f"its {ARTIFACT_FILE} says which file is the artifact, and which versions converted it"
    details = told.details or {}
    texts = (str(details.get(name) or "") for name in ("error", "traceback", "log"))
    named = dict.fromkeys(found[1].rstrip(".") for text in texts for found in _IN_SCRATCH.finditer(text))
    for name in named:
        path = told.kept / name
        if ".." not in Path(name).parts and path.exists():
            yield f"<scratch>/{name} is {path}"


def _columns(record: Record) -> Iterator[str]:
    row = record.to_json()
    for column in COLUMNS:
        value = row[column.name]
        if value in (None, "") or column.name in _NO_FIGURES:
            continue
        told = format(value, column.digits) if column.digits and isinstance(value, float) else str(value)
        yield f"{column.name}: {told}{f' {column.unit}' if column.unit else ''}"


def _environment(told: Recorded) -> Iterator[str]:
    run, record = told.table.run, told.record
    packages = packages_of(run, record.extension)
    python = f"Python {run.python}" if run.python else "no environment"
    yield f"{python}; {run.machine.cpu}, {run.machine.cores} cores, {run.machine.os}"
    if run.gpu is not None:
        yield f"{run.gpu.count} x {run.gpu.name}, driver {run.driver}"
    pins = [f"{name} {packages.get(name, version)}" for name, version in sorted(run.pins.items())]
    if pins:
        yield f"pinned: {', '.join(pins)}"
    installed = "nothing is" if record.stage in NOT_INSTALLED else f"{len(packages)} packages are"
    yield f"{installed} installed; harness {run.harness_version}"
    if record.extension in told.table.locks and told.table.folder is not None:
        # Where there is no solution, what a table keeps in the lock's place is the resolver's reason.
        kept = "the resolver's reason, whole" if record.outcome is Outcome.UNRESOLVABLE else "lock"
        yield f"{kept}: {told.table.folder / (f'lock+{record.extension}.txt' if record.extension else 'lock.txt')}"
