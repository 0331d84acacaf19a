"""`harness expect`: which broken cells are known, and whether there are others."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.bench.errors import UsageError
from harness.bench.plan import imports_of, split
from harness.bench.record import Record
from harness.bench.registry import Registry, discover
from harness.bench.text import one_line
from harness.cli.cells import cell_options
from harness.cli.context import new_console, root_of, say, shown
from harness.cli.exits import COULD_NOT_TELL
from harness.cli.policies import expectations
from harness.cli.reading import Read, read
from harness.diagnosis.rules import diagnose
from harness.matrix import combination as combinations
from harness.matrix import expecting, matrixfile
from harness.matrix.requirements.needs import distributions_of
from harness.report import terminal
from harness.report.expected import otherwise_texts
from harness.report.wording import SHORT_ERROR, detail
from harness.tables.schema import Run, Table
from harness.verdict.comparison import count_of
from harness.verdict.expectations import Expectation, Foreseen, foresee, packages_of

_MONTHS = 3
_WORSE = 1


@click.command(short_help="Say which broken cells are known, and fail on others.")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--check", is_flag=True, help="Exit with 1 where a broken cell is not expected.")
@click.option("--write", is_flag=True, help="Append the proposals to the file.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Until when proposals hold (in three months).",
)
@click.option(
    "--expectations",
    "file",
    type=click.Path(path_type=Path),
    help="The file of expectations (matrices/expectations.toml).",
)
@cell_options
@click.pass_context
def expect(
    context: click.Context,
    /,
    tables: tuple[str, ...],
    check: bool,
    write: bool,
    expires: datetime.datetime | None,
    file: Path | None,
    **given: Any,
) -> int:
    """Propose expectations of the broken cells of each TABLE that have none, as TOML.

    A TABLE is a combination, or the folder of a table; without any, those of nightly.toml are meant. A proposal is of
    just the cells, versions and outcome that were seen, and a person gives its reason. With --check nothing is
    proposed: 0 all broken cells are expected, 1 some are not, 3 could not tell.
    """
    if check and (write or expires):
        msg = "--check proposes nothing: leave out --write and --expires, or leave out --check."
        raise UsageError(msg)
    root = root_of(context)
    path = file or root / expecting.FILE
    known = None if write and not path.is_file() else expectations(root, file)
    names = tables or matrixfile.of(root, None, names=(), known=combinations.names(root)).combinations
    found = read(context, *names, **given)
    today = datetime.datetime.now(datetime.UTC).date()
    foreseen = foresee(found.tables, known or (), today=today)
    if check:
        return _checked(found, foreseen)
    texts, kept_back = _proposals(found.tables, foreseen, today=today, until=expires.date() if expires else None)
    for each in kept_back:
        say(each, err=True)
    if not texts:
        told = "all of them expected" if foreseen.broken else "so that nothing is to be expected"
        say(f"nothing to propose: {count_of(foreseen.broken)} broken, {told}.", err=True)
        return 0
    text = "\n".join(texts)
    if write:
        expecting.append(path, text)
        say(f"{count_of(len(foreseen.unexpected))} in {len(texts)} entries, appended to {shown(path)}", err=True)
    else:
        click.echo(text, nl=False)
    if expecting.TODO in text:
        say(f"Give each reason = {expecting.TODO!r} one of yours: the file is refused until then.", err=True)
    return 0


def _checked(found: Read, foreseen: Foreseen) -> int:
    """Print what expectations make of tables, and the exit code."""
    terminal.print_foreseen(new_console(), found.tables, foreseen)
    for note in (*found.unfinished, *found.notes):
        say(f"\n{note}")
    if foreseen.unexpected:
        return _WORSE
    whole = all(table.run.complete and table.records for table in found.tables)
    return 0 if whole and not found.unfinished else COULD_NOT_TELL


def _proposals(
    tables: Sequence[Table], foreseen: Foreseen, *, today: datetime.date, until: datetime.date | None
) -> tuple[list[str], list[str]]:
    """An entry for each cause of unexpected cells, and lines on those that an entry which is there speaks of."""
    if until is not None and until < today:
        msg = f"--expires {until}: that day has passed. Name one to come."
        raise UsageError(msg)
    registry = discover()
    unexpected = {id(record) for record in foreseen.unexpected}
    spoken = [f"{each}. Amend that entry, or take it out." for each in otherwise_texts(foreseen)]
    texts = []
    for table in tables:
        expired = _expired(table, foreseen.expired)
        groups: dict[tuple[Any, ...], list[Record]] = {}
        for record in table.records:
            if id(record) in expired and id(record) in unexpected:
                each = expired[id(record)]
                spoken.append(f"{record.cell_id}: {each.name} expired on {each.expires}. Prolong it, or take it out.")
            elif id(record) in unexpected:
                key = (record.outcome, record.stage, record.fingerprint or record.model, record.extension)
                ranges = _ranges(record, table.run, registry)
                groups.setdefault((*key, tuple(ranges.items())), []).append(record)
        texts += [
            _proposal(group, table.run, dict(key[-1]), until or _in_months(today)) for key, group in groups.items()
        ]
    return texts, spoken


def _expired(table: Table, expired: Sequence[Expectation]) -> dict[int, Expectation]:
    """The cells that an expectation would meet if it had not expired."""
    return {
        id(record): each
        for each in expired
        for record in table.records
        if each.covers(record, table.run) and each.meets(record)
    }


def _proposal(group: Sequence[Record], run: Run, ranges: dict[str, str], expires: datetime.date) -> str:
    """An entry of cells with one cause, with the reason that is known of it; else a person has to give one."""
    first = group[0]
    known = diagnose(first, packages_of(run, first.extension))
    return expecting.entry_text(
        cells=[_literal(record.cell_id) for record in group],
        device=first.device,
        versions=ranges,
        tier=first.tier,
        outcome=first.outcome,
        stage=first.stage,
        fingerprint=first.fingerprint or "",
        reason=one_line(known.cause) if known else "",
        link=next(map(_address, known.issues), "") if known else "",
        expires=expires,
        comment=one_line(detail(first, length=SHORT_ERROR)),
    )


def _address(issue: str) -> str:
    """The address of an issue: `pytorch/pytorch#110597` is one of GitHub's."""
    repository, _, number = issue.partition("#")
    return f"https://github.com/{repository}/issues/{number}"


def _literal(cell_id: str) -> str:
    """A cell's id as a glob of itself alone."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in cell_id)


def _ranges(record: Record, run: Run, registry: Registry) -> dict[str, str]:
    """The versions that a cell ran with, of the packages that its strategy and its model import.

    All pins, where what it imports is not known here or its environment could not be had.
    """
    strategy = split(record.strategy)[0]
    packages = packages_of(run, record.extension)
    names = set(run.pins)
    entry = registry.strategies.get(strategy)
    if packages is not run.pins and entry and entry.value:
        modules = set(imports_of(registry, strategy, [record.model]))
        runtime = registry.runtimes.get(entry.value.runtime)
        modules.update(runtime.value.imports if runtime and runtime.value else ())
        tops = {module.partition(".")[0] for module in modules}
        names = {name for top in tops for name in distributions_of(top, packages)}
    return {name: f"=={packages[name].partition('+')[0]}" for name in sorted(names) if packages.get(name)}


def _in_months(today: datetime.date) -> datetime.date:
    """The same day three months on; the last of that month where it has no such day."""
    months = today.month - 1 + _MONTHS
    first = datetime.date(today.year + months // 12, months % 12 + 1, 1)
    following = (first + datetime.timedelta(days=31)).replace(day=1)
    return min(first + datetime.timedelta(days=today.day - 1), following - datetime.timedelta(days=1))
