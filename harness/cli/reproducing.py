"""`harness reproduce`: a script that shows a failure without this harness."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from harness.bench.errors import UsageError
from harness.bench.failure import describe_failure
from harness.bench.plan import slug_of
from harness.bench.record import Record
from harness.cli.cells import cell_options, find_cell
from harness.cli.context import root_of, say, shown
from harness.cli.exits import COULD_NOT_TELL
from harness.cli.rerunning import plan_of
from harness.cli.writing import refuse_unwritable, write_whole
from harness.matrix import combination as combinations
from harness.matrix import locks
from harness.reproducing import script, trying
from harness.reproducing.making import Made, make
from harness.reproducing.pinning import Source
from harness.tables.schema import Table


@click.command(short_help="Write a script that shows a failure without this harness.")
@click.argument("cell")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write (repro-MODEL-STRATEGY.py).",
)
@click.option(
    "--pins",
    metavar="NAME|FILE",
    help="Also run it with the versions of this combination, or of this file, and say in it that it passes with them.",
)
@click.option("--check/--no-check", default=True, help="Run it by `uv run`, and say whether it ends as recorded.")
@cell_options
@click.pass_context
def reproduce(
    context: click.Context,
    /,
    cell: str,
    output: Path | None,
    pins: str | None,
    check: bool,
    **given: Any,
) -> int:
    """Write one Python script that shows the failure of CELL without this harness, for whoever maintains the tool.

    The script has its packages in it with their exact versions, so that `uv run` of it fails anywhere as the cell did.
    It is run here once, and with --pins once more. What needs a package, weights or files of your own is refused, with
    what to put in their place. Exits with 3 where the script does not end as recorded, or does not pass with --pins.
    """
    root = root_of(context)
    found = find_cell(context, cell, **given)
    table, record = found.table, found.record
    registry = plan_of(root, found)[0].registry()
    source = _source(root, table, record.extension or table.run.extension)
    other = _other(root, pins, source, record.extension) if pins else None
    path = output or Path(f"repro-{slug_of(record.model, record.strategy).replace('--', '-').replace('@', '-')}.py")
    refuse_unwritable(path, "--output")
    if path.is_file() and script.MADE_BY not in path.read_text(encoding="utf-8", errors="replace"):
        msg = f"{path} is there, and is none of these scripts. Name another file by --output."
        raise UsageError(msg)
    made = make(record, registry, source, cell=record.cell_id)
    write_whole(path, made.text)
    say(f"Written: {shown(path)}")
    digest = registry.models[record.model].digest
    if record.model_digest not in (None, digest):
        say("The model's file has changed since that run, and the script has it as it is now.")
    if not check:
        say(f"Not tried: `uv run {shlex.quote(str(shown(path)))}` should fail as recorded.")
        return 0
    return _tried(made, other, pins, record, path)


def _tried(made: Made, other: Source | None, pins: str | None, record: Record, path: Path) -> int:
    """Run the script, and with other versions, and tell how each ended."""
    ended = trying.run(made.text, mirror=made.pins.mirror)
    told = f"`uv run {shlex.quote(str(shown(path)))}`"
    code = 0
    if trying.ends_as(record, ended):
        say(f"{told} fails as recorded: {script.words_of(record):.200}")
    elif ended.passed:
        say(f"{told} passes here: it does not show the failure, which may depend on the machine or the run.")
        code = COULD_NOT_TELL
    else:
        say(f"{told} ends otherwise than recorded, with: {ended.last:.300}")
        say(f"Recorded: {describe_failure(record)}")
        code = COULD_NOT_TELL
    if other is not None:
        changed = made.under(other)
        ended = trying.run(changed.text, mirror=changed.pins.mirror)
        if ended.passed:
            write_whole(path, made.that_passes_with(changed.pins))
            say(f"With the versions of {pins} the same script passes, which it now says.")
        else:
            say(f"With the versions of {pins} the same script does not pass: {ended.last:.300}")
            code = COULD_NOT_TELL
    return code


def _source(root: Path, table: Table, extension: str) -> Source:
    """The versions that a table is of: its lock's, else those that were installed."""
    run = table.run
    python = ".".join(run.python.split(".")[:2])
    text = table.locks.get(extension, "")
    if not text:
        name = combinations.extended(run.combination, extension)
        digest = run.extensions[extension].lock_digest if extension in run.extensions else run.lock_digest
        known = (
            extension in combinations.extensions(root, run.combination)
            if extension
            else name in combinations.known(root)
        )
        lock = locks.read_lock(root, combinations.read(root, name)) if known else None
        text = lock.text if lock is not None and lock.digest == digest else ""
    if text:
        return Source.of_lock(text, python)
    packages = run.extensions[extension].packages if extension in run.extensions else run.packages
    return Source(python=python, pins=packages)


def _other(root: Path, pins: str, source: Source, extension: str) -> Source:
    """The versions of another combination, or of a file."""
    if pins in combinations.known(root):
        name = pins
        if extension and extension in combinations.extensions(root, pins):
            name = combinations.extended(pins, extension)
        combination = combinations.read(root, name)
        lock = locks.read_lock(root, combination)
        if lock.reason:
            msg = f"{name} has no solution, and so no versions to run with."
            raise UsageError(msg)
        return Source.of_lock(lock.text, combination.python)
    path = Path(pins)
    if not path.is_file():
        msg = f"--pins {pins}: neither a combination ({', '.join(combinations.known(root))}) nor a file."
        raise UsageError(msg)
    return Source.of_lock(path.read_text(encoding="utf-8"), source.python)
