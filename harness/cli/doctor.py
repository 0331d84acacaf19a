"""`harness doctor`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click
from rich.text import Text

from harness.bench.text import printable
from harness.cli.context import new_console, root_of
from harness.cli.exits import COULD_NOT_TELL
from harness.doctor.examining import CHECKS, examine, mend, stops_a_run
from harness.doctor.finding import Finding, Severity
from harness.report.lines import show

_MARKS = {Severity.FINE: ("ok", "green"), Severity.WARNING: ("warning", "yellow"), Severity.FAULT: ("fault", "red")}

Found = Mapping[str, Sequence[Finding]]


@click.command(short_help="Tell what would stop or spoil a run here, and what to do.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--fix", is_flag=True, help="Remove what killed runs left: processes, scratch, names of holders.")
@click.pass_context
def doctor(context: click.Context, as_json: bool, fix: bool) -> int:
    """Tell what is here, what would stop or spoil a run, and what to do about it. Nothing is changed without --fix.

    Looks at Pythons, uv, tox, the package index, GPU and driver, memory, disks, locks, environments, what killed runs
    left, and variables. Exits with 3 where something would stop a run; with 0 otherwise, warnings or not.
    """
    root = root_of(context)
    found = examine(root)
    mended: dict[str, list[str]] = {}
    if fix:
        mended = {title: done for title, findings in found.items() if (done := mend(findings))}
        found.update(examine(root, {title: CHECKS[title] for title in mended}) if mended else {})
    if as_json:
        click.echo(json.dumps(_plain(found, mended), indent=1))
    else:
        _print(found, mended)
    return COULD_NOT_TELL if stops_a_run(found) else 0


def _plain(found: Found, mended: Mapping[str, Sequence[str]]) -> dict[str, object]:
    return {
        "findings": [
            {
                "check": title,
                "what": finding.what,
                "severity": finding.severity.value,
                "found": finding.found,
                "remedy": finding.remedy,
            }
            for title, findings in found.items()
            for finding in findings
        ],
        "mended": [line for lines in mended.values() for line in lines],
    }


def _print(found: Found, mended: Mapping[str, Sequence[str]]) -> None:
    console = new_console()
    counts = dict.fromkeys(Severity, 0)
    for title, findings in found.items():
        show(console, [Text()] * bool(sum(counts.values())) + [Text(title, style="bold")])
        for line in mended.get(title, ()):
            show(console, [f"  mended   {printable(line)}"])
        for finding in findings:
            counts[finding.severity] += 1
            mark, style = _MARKS[finding.severity]
            told = Text(f"  {mark:8} ").append(f"{finding.what}: {finding.found}")
            told.stylize(style, 0, len(f"  {mark:8}"))
            show(console, [told])
            if finding.remedy:
                show(console, [f"{'':11}→ {finding.remedy}"])
    faults, warnings = counts[Severity.FAULT], counts[Severity.WARNING]
    end = "Nothing here would stop a run." if not faults else f"{faults} would stop a run."
    more = f" {warnings} warning{'s' if warnings > 1 else ''}." if warnings else ""
    show(console, ["", f"{end}{more}"])
