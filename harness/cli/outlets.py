"""`--to FORMAT[=FILE]`: what a command found, in the forms that other programs read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from harness.bench.errors import UsageError, unknown
from harness.cli.context import say
from harness.report.outlets.annotations import workflow_commands
from harness.report.outlets.benchmarks import bencher, github_action_benchmark
from harness.report.outlets.facts import Facts
from harness.report.outlets.junit import junit
from harness.report.outlets.openmetrics import openmetrics
from harness.report.outlets.sarif import sarif
from harness.report.outlets.stores import STORES, require

_OF_FACTS: dict[str, Callable[[Facts], str]] = {
    "annotations": workflow_commands,
    "junit": junit,
    "sarif": sarif,
    "github-action-benchmark": github_action_benchmark,
    "bencher": bencher,
    "openmetrics": openmetrics,
}
_SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
_SUMMARY_LIMIT = 2**20
"""Bytes that GitHub takes of the summary of a step."""

FORMATS = ("comment", "summary", "json", *_OF_FACTS, *STORES)
"""What `--to` takes."""

_BESIDE = frozenset({"annotations", "summary", *STORES})
"""What stands beside the report for a terminal, and not in its place."""


@dataclass(frozen=True, kw_only=True)
class Outlet:
    """A form that was asked for, and the file that it goes to; an empty one is the form's own place."""

    form: str
    file: str = ""

    @property
    def printed(self) -> bool:
        """Whether it is printed in the place of the report for a terminal."""
        return not self.file and self.form not in _BESIDE


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command has to say. `document` is None where it has no JSON; stores are below `folder`."""

    folder: Path
    facts: Facts
    markdown: Callable[[], str]
    summary: Callable[[int], str]
    document: Callable[[], str] | None = None


def to_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--to`; the command is given `to`."""
    return click.option(
        "--to",
        multiple=True,
        metavar="FORMAT[=FILE]",
        help=f"Also in another form, repeatable: {', '.join(FORMATS)}. Printed where no FILE is named.",
    )(command)


def parse_outlets(
    to: Sequence[str], *, as_markdown: bool = False, as_json: bool = False, without: Sequence[str] = ()
) -> tuple[Outlet, ...]:
    """The outlets that were asked for; `--markdown` is `--to comment`, and `--json` is `--to json`.

    `without` are the forms that have nothing to say of what the command does. Raises `UsageError`.
    """
    if as_json and as_markdown:
        msg = "--json and --markdown are two forms of one thing. Leave one out."
        raise UsageError(msg)
    values = [*to, *(["comment"] if as_markdown else []), *(["json"] if as_json else [])]
    found = []
    for value in values:
        form, _, file = value.partition("=")
        if form not in FORMATS:
            raise UsageError(unknown("format of --to", form, FORMATS))
        if form in without:
            rest = ", ".join(each for each in FORMATS if each not in without)
            msg = f"--to {form}: it says nothing of what this command shows. These do: {rest}."
            raise UsageError(msg)
        if form in STORES:
            require(form)
        found.append(Outlet(form=form, file=file))
    if len(printed := [each.form for each in found if each.printed]) > 1:
        msg = f"--to {' and --to '.join(printed)}: only one can be printed. Name a file: --to {printed[0]}=FILE."
        raise UsageError(msg)
    if any(each.form == "summary" and not each.file for each in found) and not os.environ.get(_SUMMARY_VARIABLE):
        msg = f"--to summary: there is no ${_SUMMARY_VARIABLE} here, as in a step of GitHub Actions. Name a file."
        raise UsageError(msg)
    return tuple(found)


def instead(wanted: Sequence[Outlet]) -> bool:
    """Whether one of them is printed in the place of the report for a terminal."""
    return any(each.printed for each in wanted)


def send(wanted: Sequence[Outlet], said: Callable[[], Said]) -> None:
    """Bring what is said to every outlet; it is put together only where there is one."""
    if not wanted:
        return
    told = said()
    # What is printed comes last, so that nothing of it is on the screen where a file cannot be written.
    for each in sorted(wanted, key=lambda outlet: not outlet.file):
        if each.form in STORES:
            say(STORES[each.form](told.facts, each.file, told.folder), err=True)
        elif each.form == "summary":
            _append(Path(each.file or os.environ[_SUMMARY_VARIABLE]), told)
        elif each.file:
            _write(Path(each.file), _text(each.form, told))
        else:
            click.echo(_text(each.form, told), nl=False)


def _text(form: str, said: Said) -> str:
    if form == "comment":
        return said.markdown()
    if form == "json" and said.document is not None:
        return said.document()
    return _OF_FACTS[form](said.facts)


def _write(path: Path, text: str) -> None:
    """A reader finds the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _append(path: Path, said: Said) -> None:
    """To the summary of a step, which others may have written to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    taken = path.stat().st_size if path.exists() else 0
    with path.open("a", encoding="utf-8") as file:
        file.write(said.summary(_SUMMARY_LIMIT - taken))
