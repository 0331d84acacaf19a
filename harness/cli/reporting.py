"""`harness report`: the tables as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from harness.bench.errors import UsageError, unknown
from harness.bump.bumpfile import BUMP, read_bump
from harness.bump.schema import Bump
from harness.cli.context import root_of, say, shown
from harness.cli.storing import RESULTS
from harness.cli.writing import is_special, refuse_unwritable, write_whole
from harness.report.page.data import Shown, natural, page_data
from harness.report.page.rendering import render
from harness.reproducing.making import nothing_to_show
from harness.tables.finding import is_path, read_path
from harness.tables.layout import RUN, is_hidden
from harness.tables.reading import read_table
from harness.tables.schema import Table

PAGE = "report.html"
INDEX = "index.html"
MOST_BYTES = 5_000_000
"""A page of more opens slowly; the oldest tables are left out of it."""


@click.command(short_help="Write the tables as one HTML page.")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=PAGE,
    show_default=True,
    help=f"The file to write, or a folder, which gets {INDEX}.",
)
@click.pass_context
def report(context: click.Context, /, tables: tuple[str, ...], results: Path | None, out: Path) -> int:
    """Write one HTML file that shows tables: grids, every cell, and what changed between any two.

    It needs no network and no server: open it, send it, publish it. TABLE is a combination, of which all tables are
    taken, or the folder of a table; without one, all tables are. Where the page would pass 5 MB, the oldest tables are
    left out, and it says which.
    """
    root = root_of(context)
    store = results or root / RESULTS
    path = out / INDEX if out.is_dir() or not (out.suffix or is_special(out)) else out
    refuse_unwritable(path, "--out")
    found, unread = _read(_folders(store, tables))
    if not found:
        reasons = "".join(f" {reason}" for reason in list(unread.values())[:3])
        msg = f"no table to show under {shown(store)}.{reasons} `harness run` makes tables there."
        raise UsageError(msg)
    text, left_out = _page(root, found, unread)
    write_whole(path, text)
    count = f"{len(found) - len(left_out)} table{'' if len(found) - len(left_out) == 1 else 's'}"
    say(f"Written: {shown(path)} ({count}, {len(text.encode()) / 1e6:.2f} MB)")
    for folder, reason in unread.items():
        say(f"Left out, since it cannot be read: {folder}: {reason}", err=True)
    if left_out:
        say(f"Left out, the oldest, to stay below 5 MB: {', '.join(left_out)}. TABLE says which to take.", err=True)
    return 0


def _folders(store: Path, references: Sequence[str]) -> list[Path]:
    """The folders of the tables that are asked for."""
    if not references:
        return list(_below(store, "*"))
    found: dict[Path, None] = {}
    for reference in references:
        if is_path(reference):
            folder = read_path(reference).folder
            assert folder is not None, "it was read from there"
            found[folder] = None
            continue
        of_name = list(_below(store, reference))
        if not of_name:
            names = sorted({folder.parents[1].name for folder in _below(store, "*")}, key=natural)
            msg = f"no table of {reference!r} under {shown(store)}: {unknown('combination', reference, names)}"
            raise UsageError(msg)
        found |= dict.fromkeys(of_name)
    return list(found)


def _below(store: Path, combination: str) -> Iterator[Path]:
    for run in sorted(store.glob(f"*/*/*/{RUN}")):
        if not is_hidden(run.parent) and combination in ("*", run.parents[2].name):
            yield run.parent


def _read(folders: Sequence[Path]) -> tuple[list[Table], dict[str, str]]:
    """The tables in folders, and why others cannot be read, by folder."""
    tables: list[Table] = []
    unread: dict[str, str] = {}
    for folder in folders:
        read = _table(folder)
        if isinstance(read, str):
            unread[str(shown(folder.resolve()))] = read
        else:
            tables.append(read)
    return tables, unread


def _table(folder: Path) -> Table | str:
    """The table in a folder, or why it cannot be read."""
    try:
        return read_table(folder)
    except UsageError as error:
        return str(error)


def _page(root: Path, tables: Sequence[Table], unread: dict[str, str]) -> tuple[str, list[str]]:
    """The page, and which tables had no room in it: the oldest that do not stand for their series."""
    left: list[str] = []
    tables = list(tables)
    bumps = {}
    for table in tables:
        if (bump := _bump(table, unread)) is not None:
            bumps[_named(root, table)] = bump
    while True:
        names = {id(table): _named(root, table) for table in tables}
        data = page_data(
            Shown(
                tables=tables,
                names=names,
                bumps=bumps,
                unread=unread,
                left_out=left,
                reproducible=lambda record: not nothing_to_show(record),
            )
        )
        text = render(data)
        old = [table for table in tables if not _is_current(data, names[id(table)])]
        if len(text.encode()) <= MOST_BYTES or not old:
            return text, left
        # All of it is made anew, so that it takes few rounds rather than just fitting.
        old.sort(key=lambda table: table.run.started)
        gone = old[: max(1, len(old) // 4)]
        left += [names[id(table)] for table in gone]
        tables = [table for table in tables if not any(table is each for each in gone)]


def _is_current(data: dict[str, object], name: str) -> bool:
    tables = data["tables"]
    assert isinstance(tables, list)
    return any(each["folder"] == name and each["current"] for each in tables)


def _named(root: Path, table: Table) -> str:
    """The folder of a table as commands at the root name it."""
    assert table.folder is not None, "it was read from there"
    folder = table.folder.resolve()
    return str(folder.relative_to(root)) if folder.is_relative_to(root) else str(folder)


def _bump(table: Table, unread: dict[str, str]) -> Bump | None:
    """What `bump.json` beside a table says; what cannot be read is told, and the table shown without it."""
    assert table.folder is not None, "it was read from there"
    file = table.folder / BUMP
    if not file.is_file():
        return None
    try:
        return read_bump(table.folder)
    except UsageError as error:
        unread[str(shown(file.resolve()))] = str(error)
        return None
