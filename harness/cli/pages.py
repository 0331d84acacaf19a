"""Which tables a page has room for. They are read as it turns out that there is some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.bench.errors import UsageError
from harness.bump.bumpfile import BUMP, read_bump
from harness.bump.schema import Bump
from harness.cli.context import shown
from harness.report.page.data import Shown, page_data
from harness.report.page.rendering import render
from harness.reproducing.making import nothing_to_show
from harness.tables.layout import CELLS
from harness.tables.reading import read_table
from harness.tables.schema import Table

MOST_BYTES = 5_000_000
"""A page of more opens slowly; the oldest tables are left out of it."""

_TRIED_WHOLE = 2
"""Rows take more in tables than in a page: up to so many times its bytes of them, all are tried at once."""
_SAMPLE = 2
"""Tables that tell how much a further one takes."""
_CAREFUL = 0.97
_FULL = 0.9
"""Each try makes the whole page, so that it is not filled to the last byte."""


@dataclass(kw_only=True)
class Shelf:
    """Tables by their folders, each read once, and not before it is asked for; `unread` says why others cannot be."""

    root: Path
    unread: dict[str, str] = field(default_factory=dict)
    _tables: dict[Path, Table | None] = field(default_factory=dict)
    _bumps: dict[str, Bump] = field(default_factory=dict)

    def name(self, folder: Path) -> str:
        """A folder as commands at the root name it."""
        folder = folder.resolve()
        return str(folder.relative_to(self.root)) if folder.is_relative_to(self.root) else str(folder)

    def table(self, folder: Path) -> Table | None:
        """The table in a folder; None where it cannot be read."""
        if folder not in self._tables:
            self._tables[folder] = self._read(folder)
        return self._tables[folder]

    def cannot_be_read(self, folder: Path) -> bool:
        """Whether that was tried in vain."""
        return folder in self._tables and self._tables[folder] is None

    def _read(self, folder: Path) -> Table | None:
        try:
            table = read_table(folder)
        except UsageError as error:
            self.unread[str(shown(folder.resolve()))] = str(error)
            return None
        if (folder / BUMP).is_file():
            try:
                self._bumps[self.name(folder)] = read_bump(folder)
            except UsageError as error:
                self.unread[str(shown((folder / BUMP).resolve()))] = str(error)
        return table

    def html(self, folders: Sequence[Path], *, left_out: Sequence[str], pages: Sequence[tuple[str, str]]) -> str:
        """The page of the tables in folders, as far as they can be read."""
        tables = [(folder, table) for folder in folders if (table := self.table(folder)) is not None]
        shown_tables = Shown(
            tables=[table for _, table in tables],
            names={id(table): self.name(folder) for folder, table in tables},
            bumps=self._bumps,
            unread=self.unread,
            left_out=left_out,
            pages=pages,
            reproducible=lambda record: not nothing_to_show(record),
        )
        return render(page_data(shown_tables))


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page with the folders of its tables, and of those that had no room, the newest first."""

    text: str
    folders: tuple[Path, ...]
    left_out: tuple[Path, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.text.encode())

    @property
    def opens_slowly(self) -> bool:
        """Whether it is larger than a page should be."""
        return self.size > MOST_BYTES


Pages = Callable[[Sequence[Path]], Sequence[tuple[str, str]]]
"""What has the tables that a page leaves out: titles and addresses of other pages."""


def page_of(shelf: Shelf, folders: Sequence[Path], *, pages: Pages = lambda _: ()) -> Page:
    """The page of the tables in `folders`: of those that stand for their series, and the newest of the others.

    It is of `MOST_BYTES` at most, unless the former alone are more.
    """
    # A folder is named by its start.
    newest = sorted(folders, key=lambda folder: (folder.name, str(folder)), reverse=True)
    standing = _standing(shelf, newest)
    older = [folder for folder in newest if folder not in standing]

    def made(count: int) -> Page:
        left_out = [folder for folder in older[count:] if not shelf.cannot_be_read(folder)]
        taken = [*standing, *older[:count]]
        text = shelf.html(taken, left_out=[shelf.name(each) for each in left_out], pages=pages(left_out))
        return Page(text=text, folders=tuple(each for each in taken if shelf.table(each)), left_out=tuple(left_out))

    if sum(map(_bytes_of, folders)) <= _TRIED_WHOLE * MOST_BYTES:
        whole = made(len(older))
        if whole.size <= MOST_BYTES:
            return whole
    page, count, step, most = made(0), 0, _SAMPLE, len(older)
    while count < most and page.size < _FULL * MOST_BYTES:
        more = min(step, most - count)
        larger = made(count + more)
        each = max((larger.size - page.size) / more, 1)
        if larger.size <= MOST_BYTES:
            page, count = larger, count + more
        else:
            most = count + more - 1
        step = max(1, int(_CAREFUL * (MOST_BYTES - page.size) / each))
    return page


def _bytes_of(folder: Path) -> int:
    file = folder / CELLS
    return file.stat().st_size if file.is_file() else 0


def _standing(shelf: Shelf, newest: Sequence[Path]) -> set[Path]:
    """The folders of the tables that stand for their series: the newest complete one of each, else the newest."""
    found: dict[Path, Path] = {}
    whole: set[Path] = set()
    for folder in newest:
        series = folder.parent
        if series not in whole and (table := shelf.table(folder)) is not None:
            if table.run.complete:
                found[series] = folder
                whole.add(series)
            found.setdefault(series, folder)
    return set(found.values())
