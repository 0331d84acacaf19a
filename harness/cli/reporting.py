"""`harness report`: the tables as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from harness.bench.errors import UsageError, unknown
from harness.cli.context import root_of, say, shown
from harness.cli.pages import Page, Shelf, page_of
from harness.cli.storing import RESULTS
from harness.cli.writing import is_special, refuse_unwritable, write_whole
from harness.report.page.data import natural
from harness.tables.finding import is_path, read_path
from harness.tables.layout import RUN, is_hidden

PAGE = "report.html"
INDEX = "index.html"
_NAMED = 5


@click.command(short_help="Write the tables as one HTML page.")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=PAGE,
    show_default=True,
    help=f"The file to write. A folder, or a name without a suffix, gets {INDEX}, and a page for each combination of "
    "which that has no room for all tables.",
)
@click.pass_context
def report(context: click.Context, /, tables: tuple[str, ...], results: Path | None, out: Path) -> int:
    """Write one HTML file that shows tables: grids, every cell, and what changed between any two.

    It needs no network and no server: open it, send it, publish it. TABLE is a combination, of which all tables are
    taken, or the folder of a table; without one, all tables are. Where the page would pass 5 MB, the oldest tables are
    left out, and it says which; the newest of each series never are.
    """
    root = root_of(context)
    store = results or root / RESULTS
    in_folder = out.is_dir() or not (out.suffix or is_special(out))
    path = out / INDEX if in_folder else out
    refuse_unwritable(path, "--out")
    folders = _folders(store, tables)
    shelf = Shelf(root=root)
    page = page_of(shelf, folders, pages=_pages if in_folder else lambda _: ())
    if not page.folders:
        reasons = "".join(f" {reason}" for reason in list(shelf.unread.values())[:3])
        msg = f"no table to show under {shown(store)}.{reasons} `harness run` makes tables there."
        raise UsageError(msg)
    _write(path, page, shelf)
    if in_folder:
        for combination, name in _pages(page.left_out):
            of = [folder for folder in folders if _combination(folder) == combination]
            _write(out / name, page_of(shelf, of, pages=lambda _: [("all combinations", INDEX)]), shelf)
    for folder, reason in shelf.unread.items():
        say(f"Left out, since it cannot be read: {folder}: {reason}", err=True)
    return 0


def _pages(left_out: Sequence[Path]) -> list[tuple[str, str]]:
    """The combinations that tables were left out of, with files of their own, none of which is the index."""
    found: dict[str, str] = {}
    taken = {INDEX}
    for name in sorted({_combination(folder) for folder in left_out}, key=natural):
        stem = name
        # A file system may not tell capitals from small letters.
        while (file := f"{stem}.html").casefold() in taken:
            stem += "_"
        taken.add(file.casefold())
        found[name] = file
    return list(found.items())


def _combination(folder: Path) -> str:
    return folder.parent.parent.name


def _write(path: Path, page: Page, shelf: Shelf) -> None:
    """Write a page and tell of it, and of what is not on it."""
    write_whole(path, page.text)
    count = f"{len(page.folders)} table{'' if len(page.folders) == 1 else 's'}"
    say(f"Written: {shown(path)} ({count}, {page.size / 1e6:.2f} MB)")
    if page.opens_slowly:
        say(
            f"{shown(path)} opens slowly: the newest tables alone are more than 5 MB. TABLE takes some of them, as in "
            f"`harness report {_combination(page.folders[0])}`.",
            err=True,
        )
    if page.left_out:
        names = [shelf.name(folder) for folder in page.left_out]
        named = ", ".join(names) if len(names) <= _NAMED else f"{len(names)} tables, {names[-1]} to {names[0]}"
        say(f"Left out of {shown(path)}, the oldest, to stay below 5 MB: {named}. TABLE says which to take.", err=True)


def _folders(store: Path, references: Sequence[str]) -> list[Path]:
    """The folders of the tables that are asked for."""
    if not references:
        return [folder.resolve() for folder in _below(store, "*")]
    found: dict[Path, None] = {}
    for reference in references:
        if is_path(reference):
            folder = read_path(reference).folder
            assert folder is not None, "it was read from there"
            found[folder.resolve()] = None
            continue
        of_name = list(_below(store, reference))
        if not of_name:
            names = sorted({folder.parents[1].name for folder in _below(store, "*")}, key=natural)
            msg = f"no table of {reference!r} under {shown(store)}: {unknown('combination', reference, names)}"
            raise UsageError(msg)
        found |= dict.fromkeys(folder.resolve() for folder in of_name)
    return list(found)


def _below(store: Path, combination: str) -> Iterator[Path]:
    for run in sorted(store.glob(f"*/*/*/{RUN}")):
        if not is_hidden(run.parent) and combination in ("*", run.parents[2].name):
            yield run.parent
