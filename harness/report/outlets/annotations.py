"""GitHub's annotations: workflow commands on the lines of a log, which point at a line of a file.

After https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.report.outlets.facts import Facts, Finding, Level

SHOWN = 10
"""Annotations of one level that GitHub shows of a step."""

_COMMANDS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def workflow_commands(facts: Facts) -> str:
    """A line for each finding, the worst first; where there are more than are shown, the last one says so."""
    return "".join(f"{line}\n" for level in Level for line in _of_level(facts, level))


def _of_level(facts: Facts, level: Level) -> Iterator[str]:
    found = [each for each in facts.findings if each.level is level]
    shown = found if len(found) <= SHOWN else found[: SHOWN - 1]
    yield from (_line(each) for each in shown)
    if rest := len(found) - len(shown):
        title = f"{rest} more of {len(found)} are not shown here"
        message = f"GitHub shows {SHOWN} of a step. The comment and the tables have all of {facts.subject}."
        yield f"::{_COMMANDS[level]} title={_property(title)}::{_data(message)}"


def _line(finding: Finding) -> str:
    place = {"file": finding.place.path, "line": str(finding.place.line)} if finding.place else {}
    properties = ",".join(f"{name}={_property(value)}" for name, value in {**place, "title": finding.title}.items())
    parts = [finding.message, finding.cause, f"Remedy: {finding.remedy}" if finding.remedy else ""]
    return f"::{_COMMANDS[finding.level]} {properties}::{_data(chr(10).join(filter(None, parts)))}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def inert(line: str) -> str:
    """A line of a log in which a workflow hears no command, whatever a tool wrote: `::x::` or `##[x]`."""
    return re.sub(r"^(\s*):(?=:)", r"\1: ", line).replace("##[", "## [")
