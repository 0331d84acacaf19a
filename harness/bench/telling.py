"""How pytest shows a cell: what its record says, in the words and the amount that were asked for.

`--tb` chooses the amount: `line` is one, `native` the traceback as the process of the cell printed it, `long` that with
the end of the process's log, `short` a frame in two lines, and `auto` the same with the frames between left out. Where
a process left no traceback, as it does when it crashes, the end of its log stands there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from harness.bench.failure import describe_failure, reason_of
from harness.bench.progress import cut
from harness.bench.record import Record
from harness.bench.stages import Outcome

_FRAME = re.compile(r'  File "(?P<path>.+)", line (?P<line>\d+), in (?P<name>.+)')
_AT_EITHER_END = 2
_LONGEST_LINE = 1000
"""Of a line of a traceback, where not all of it was asked for: a message may be all on one."""

_LOG_LINES = {"short": 10, "auto": 20}


@dataclass(frozen=True)
class Crash:
    """What was wrong, and `line`, the same with the cell and how far it came; pytest's name for it is `reprcrash`."""

    message: str
    line: str

    def __str__(self) -> str:
        """What `--tb=line` prints."""
        return self.line


@dataclass(frozen=True)
class Told:
    """A broken cell. `str` is all that there is, for a JUnit file; a terminal shows what `style` asks for."""

    reprcrash: Crash
    headline: str
    traceback: str
    log: str
    style: str

    def lines(self, style: str) -> list[str]:
        """What `--tb=STYLE` shows."""
        shown = self.headline.splitlines()
        if style == "no":
            return shown
        frames = self.traceback.splitlines()
        if style in ("short", "auto"):
            frames = [cut(line, _LONGEST_LINE) for line in _frames(frames, whole=style == "short")]
        if frames:
            shown += ["", *frames]
        log = [] if style == "native" or (frames and style != "long") else self.log.splitlines()
        log = log[-_LOG_LINES.get(style, len(log)) :] if log else []
        return [*shown, "", "the end of its log:", *(f"    {line}" for line in log)] if log else shown

    def toterminal(self, tw: Any) -> None:
        """Print it, as pytest asks what it prints to."""
        if self.style == "line":
            return  # pytest prints the crash itself
        first = len(self.headline.splitlines())
        for index, line in enumerate(self.lines(self.style)):
            tw.line(line, red=index < first)

    def __str__(self) -> str:
        """All that there is."""
        return "\n".join(self.lines("long"))


def told(cell: str, record: Record, details: Mapping[str, Any], style: str) -> Told:
    """What there is to tell of a broken cell."""
    traceback, log = str(details.get("traceback") or ""), str(details.get("log") or "")
    headline = describe_failure(record)
    crash = Crash(reason_of(record), f"{cell}: {' '.join(headline.split())}")
    return Told(crash, headline, traceback, log, style)


def _frames(lines: list[str], *, whole: bool) -> list[str]:
    """A traceback with `path:line: in name` and the source of each frame; from a long one the ends alone."""
    groups: list[list[str]] = []
    for line in lines:
        frame = _FRAME.fullmatch(line)
        if frame:
            groups.append([f"{frame['path']}:{frame['line']}: in {frame['name']}"])
        elif groups and line.startswith("    ") and len(groups[-1]) == 1:
            groups[-1].append(line)
        elif not line.startswith("    ") and line.strip() and not line.startswith("Traceback "):
            groups.append([line])  # the error itself, or what stands between two of them
    between = len(groups) - 1 - 2 * _AT_EITHER_END
    if not whole and between > 1:
        ends = groups[:_AT_EITHER_END], groups[-1 - _AT_EITHER_END :]
        groups = [*ends[0], [f"  … {between} frames between, which --tb=short shows"], *ends[1]]
    return [line for group in groups for line in group]


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """The outcome, and the stage that it was come to at, in the place of pytest's own word."""
    properties = dict(getattr(report, "user_properties", ()))
    if report.when != "call" or "outcome" not in properties:
        return None
    word = str(properties["outcome"]).upper()
    if report.skipped:
        return "skipped", "s", word  # the summary has its stage and its reason
    return report.outcome, "." if report.passed else "F", f"{word} at {properties['stage']}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A cell that cannot be run is told by its stage and its reason alone, so that the summary folds them by those."""
    report = yield
    properties = dict(item.user_properties)
    if report.skipped and properties.get("outcome") == Outcome.NOT_APPLICABLE.value:
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        report.longrepr = (properties["stage"], None, " ".join(reason.split()))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Unless `-r` was given, the summary has a line for each reason why cells cannot be run."""
    if config.getoption("reportchars", "") == "fE":
        config.option.reportchars = "fEs"
