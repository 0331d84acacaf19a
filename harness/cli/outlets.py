"""`--to FORMAT[=FILE]`: what a command found, in the forms that other programs read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from harness.bench.errors import InfrastructureError, StoreRefusedError, UsageError, unknown
from harness.cli.context import say
from harness.cli.writing import append, refuse_unwritable, write_whole
from harness.report.outlets.annotations import workflow_commands
from harness.report.outlets.benchmarks import bencher, github_action_benchmark
from harness.report.outlets.facts import Facts
from harness.report.outlets.junit import junit
from harness.report.outlets.openmetrics import openmetrics
from harness.report.outlets.sarif import sarif
from harness.report.outlets.stores import STORES, require
from harness.report.wording import plain

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
    def path(self) -> Path | None:
        """The file that is written; None where it is printed, and of a store."""
        if self.form in STORES:
            return None
        place = self.file or (os.environ.get(_SUMMARY_VARIABLE, "") if self.form == "summary" else "")
        return Path(place) if place else None

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
    to: Sequence[str], *, as_markdown: bool = False, as_json: bool = False, without: Mapping[str, str] | None = None
) -> tuple[Outlet, ...]:
    """The outlets that were asked for; `--markdown` is `--to comment`, and `--json` is `--to json`.

    `without` are the forms that the command does not have, each with the commands that do. Raises `UsageError`.
    """
    if as_json and as_markdown:
        msg = "--json and --markdown are two forms of one thing. Leave one out."
        raise UsageError(msg)
    short = {"comment": "--markdown"} if as_markdown else {"json": "--json"} if as_json else {}
    for form, option in short.items():
        if form in to:
            msg = (
                f"{option} is --to {form}: it cannot be printed twice. Leave one out, or name a file: --to {form}=FILE."
            )
            raise UsageError(msg)
    found = [_outlet(value, without or {}) for value in (*to, *short)]
    if len(printed := [each.form for each in found if each.printed]) > 1:
        options = [short.get(form, f"--to {form}") for form in printed]
        msg = f"{' and '.join(options)}: only one can be printed. Name a file: --to {printed[0]}=FILE."
        raise UsageError(msg)
    if any(each.form == "summary" and each.path is None for each in found):
        msg = f"--to summary: there is no ${_SUMMARY_VARIABLE} here, as in a step of GitHub Actions. Name a file."
        raise UsageError(msg)
    _refuse_files(found)
    return tuple(found)


def _outlet(value: str, without: Mapping[str, str]) -> Outlet:
    form, named, file = value.partition("=")
    if form not in FORMATS:
        raise UsageError(unknown("format of --to", form, FORMATS))
    if form in without:
        rest = ", ".join(each for each in FORMATS if each not in without)
        msg = f"--to {form}: this command does not have it; {without[form]} do. It has {rest}."
        raise UsageError(msg)
    if named and not file:
        msg = f"--to {value}: there is no name after the '='. Name it, or leave the '=' out."
        raise UsageError(msg)
    if form in STORES:
        require(form)
    return Outlet(form=form, file=file)


def _refuse_files(wanted: Sequence[Outlet]) -> None:
    """Raise `UsageError` where two outlets have one file, and where one cannot be written."""
    taken: dict[str, str] = {}
    for each in wanted:
        if each.path is None:
            continue
        option = f"--to {each.form}{f'={each.file}' if each.file else ''}"
        other = taken.setdefault(os.path.realpath(each.path), option)
        if other is not option:
            msg = f"{other} and {option}: they are one file, {each.path}. Name two."
            raise UsageError(msg)
        refuse_unwritable(each.path, option)


def instead(wanted: Sequence[Outlet]) -> bool:
    """Whether one of them is printed in the place of the report for a terminal."""
    return any(each.printed for each in wanted)


def send(wanted: Sequence[Outlet], said: Callable[[], Said]) -> None:
    """Bring what is said to every outlet; it is put together only where there is one.

    Raises `InfrastructureError` at the end (a disk, a right, a store), which also tells what was found: the command
    does not end with the exit code of that.
    """
    if not wanted:
        return
    told = said()
    tried = [_tried(each, told) for each in sorted(wanted, key=lambda outlet: not outlet.file)]
    failed = [error for error in tried if error]
    if failed:
        reasons = " ".join(str(error.args[0]) for error in failed)
        msg = f"{reasons} What was found: {told.facts.decision}."
        raise type(failed[0])(msg) from failed[0]


def _tried(outlet: Outlet, said: Said) -> InfrastructureError | None:
    try:
        _bring(outlet, said)
    except InfrastructureError as error:
        return error
    return None


def _kept(outlet: Outlet, said: Said) -> str:
    """Where a store keeps it. Raises `StoreRefusedError`."""
    try:
        return STORES[outlet.form](said.facts, outlet.file, said.folder)
    except Exception as error:  # a client of others, which raises what it likes
        reason = plain(f"{type(error).__name__}: {error}").rstrip(".")
        msg = f"--to {outlet.form}: it was not kept there: {reason}."
        raise StoreRefusedError(msg) from error


def _bring(outlet: Outlet, said: Said) -> None:
    if outlet.form in STORES:
        say(_kept(outlet, said), err=True)
    elif outlet.path is None:
        click.echo(_text(outlet.form, said), nl=False)
    elif outlet.form == "summary":
        # Others may have written to the summary of the step.
        room = _SUMMARY_LIMIT - (outlet.path.stat().st_size if outlet.path.exists() else 0)
        text = said.summary(max(room, 0))
        if len(text.encode("utf-8")) > room:
            # GitHub shows nothing of a summary that is too large, whoever wrote it.
            say(f"--to summary: {outlet.path} has no room left for it ({_SUMMARY_LIMIT} bytes a step).", err=True)
        else:
            append(outlet.path, text)
    else:
        write_whole(outlet.path, _text(outlet.form, said))


def _text(form: str, said: Said) -> str:
    if form == "comment":
        return said.markdown()
    if form == "json" and said.document is not None:
        return said.document()
    return _OF_FACTS[form](said.facts)
