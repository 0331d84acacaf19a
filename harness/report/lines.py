"""Text as lines of a terminal: what is too long goes on in the next line, further in, and nothing of it is lost.

Where output goes to no terminal, lines that were not made to fit stay whole, so that a log can be searched and an id
copied.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from harness.bench.text import one_line
from harness.report.outlets.annotations import inert

GAP = "  "
_LEAST_ROOM = 40
_LEAST_COLUMN = 30
"""A last column that has less room goes below its row."""
_FURTHER_IN = 2
_BELOW = 6
"""How far in the rest of a row is, below its name."""
_TITLE_LINES = 2
_COMMAND = re.compile(r"`(harness [^`]*)`")
_SHELL_WORD = r"""(?:[^\s"']|"[^"]*"|'[^']*')+"""
_UNIT = re.compile(rf"--[\w-]+ (?!-){_SHELL_WORD}|{_SHELL_WORD}")
"""A word of a shell, or an option with its value."""
_QUOTED = re.compile(r"""["'\\]""")
_CONTINUED = " \\"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table in aligned columns, the first of which are names.

    Where that is too wide, titles are parted into lines of their own; then each row goes on below its name, in columns
    still; and where even that is too wide, its cells stand one after the other, with their titles.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def plain(self) -> str:
        """The table in aligned columns, as text."""
        return "\n".join(line.plain for line in self.lines(width=None))

    def lines(self, *, width: int | None) -> list[Text]:
        """The table in `width` characters; in as many as it takes where that is None."""
        rows = [[*row] for row in self.rows]
        whole = _indented([[*self.header]], rows)
        headers = [[[*self.header]], self._stacked(most=_TITLE_LINES), self._stacked()]
        if width is None or _fit(whole, width):
            return whole
        for header in headers:
            if _fit(beside := _indented(header, rows), width):
                return beside
        for header in headers:
            values = _indented([row[1:] for row in header], [row[1:] for row in rows], indent=_BELOW)
            if _fit(values, width):
                return self._below(values, len(header), width=width)
        return [line for row in self.rows for line in self._apart(row, width=width)]

    def _stacked(self, *, most: int | None = None) -> list[list[str]]:
        """The titles as rows that end together: `most` of them, or as many as columns as narrow as values take."""
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.header)
        parted = [
            _parted(title, max(map(cell_len, column), default=1), most)
            for title, column in zip(self.header, columns, strict=True)
        ]
        height = max(map(len, parted))
        return [list(row) for row in zip(*([""] * (height - len(each)) + each for each in parted), strict=True)]

    def _below(self, values: Sequence[Text], titles: int, *, width: int) -> list[Text]:
        """`values` are aligned, below their `titles`; each row stands below its name."""
        lines = [*wrapped(self.header[0], width=width, indent=2, style="bold"), *values[:titles]]
        for row, line in zip(self.rows, values[titles:], strict=True):
            lines += [*wrapped(row[0], width=width, indent=2, style="bold"), line]
        return lines

    def _apart(self, row: Sequence[str], *, width: int) -> list[Text]:
        told = [f"{title} {cell}".strip() for title, cell in zip(self.header[1:], row[1:], strict=True) if cell]
        return [*wrapped(row[0], width=width, indent=2, style="bold"), *wrapped(", ".join(told), width=width, indent=6)]


def _parted(title: str, room: int, most: int | None) -> list[str]:
    """The lines of a title in `room` characters, or in as many as it takes to have `most` lines at most."""
    for wider in range(max(room, 1), max(room, len(title), 1) + 1):
        lines = textwrap.wrap(title, wider, break_long_words=False, break_on_hyphens=False) or [""]
        if most is None or len(lines) <= most:
            break
    return lines


def _indented(header: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], *, indent: int = len(GAP)) -> list[Text]:
    """Rows as `aligned` ones below a header of one or more lines."""
    lines = aligned([[Text(cell) for cell in row] for row in (*header, *rows)], titles=len(header))
    return [Text(" " * indent).append_text(line) for line in lines]


def _fit(lines: Iterable[Text], width: int) -> bool:
    return all(line.cell_len <= width for line in lines)


Line = Text | Rows
"""What a report is made of."""


def show(console: Console, lines: Iterable[Line | str]) -> None:
    """Print lines so that none is wider than the console; whole where the console wraps softly."""
    in_workflow = "GITHUB_ACTIONS" in os.environ
    for each in lines:
        if isinstance(each, Rows):
            show(console, each.lines(width=None if console.soft_wrap else console.width))
            continue
        if isinstance(each, str):
            show(console, map(Text, each.split("\n")))
            continue
        line = each
        # What a table or a name may hold is text here too, whatever a terminal would make of it.
        shown = line if line.plain.isprintable() else Text(_indent(line) + one_line(line.plain), style=line.style)
        for part in [shown] if console.soft_wrap else fitted(console, shown):
            console.print(_heard(part) if in_workflow else part, soft_wrap=True, highlight=False)


def _heard(line: Text) -> Text:
    """A line in which a workflow hears no command."""
    told = inert(line.plain)
    return line if told == line.plain else Text(told, style=line.style)


def fitted(console: Console, line: Text) -> list[Text]:
    """A line as lines that are no wider than the console: words whole where they fit, the rest of it further in."""
    width = console.width
    if line.cell_len <= width:
        return [line]
    indent = _indent(line)[: width // 2]
    further = (indent + " " * _FURTHER_IN)[: width // 2]
    parts = line[len(_indent(line)) :].wrap(console, width - len(further), overflow="fold")
    made = [Text(further if number else indent).append_text(part) for number, part in enumerate(parts)]
    for part in made:
        part.rstrip()
    return made


def _indent(line: Text) -> str:
    return " " * (len(line.plain) - len(line.plain.lstrip(" ")))


def wrapped(text: str, *, width: int, indent: int, style: str = "", hanging: int = 0) -> list[Text]:
    """Lines of `width` characters at most, words whole, from `indent` on; all but the first `hanging` further in."""
    room = max(width - indent, _LEAST_ROOM)
    parts = textwrap.wrap(text, room, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)
    return [Text(" " * indent + part, style=style) for part in parts]


def next_lines(told: str, *, width: int) -> list[Text]:
    """`Next: ...`, whose commands (between backticks) can be copied.

    No line ends within one of them. Where one does not fit a line, each is on lines of its own that a shell reads as
    one.
    """
    whole = f"Next: {told}"
    kept = wrapped(_COMMAND.sub(lambda command: command[0].replace(" ", "\0"), whole), width=width, indent=0)
    if all(line.cell_len <= width for line in kept):
        return [Text(line.plain.replace("\0", " ")) for line in kept]
    lines: list[Text] = []
    for number, part in enumerate(_COMMAND.split(whole)):
        if number % 2:
            lines += map(Text, continued(part, width=width))
        else:
            lines += wrapped(part.strip(" ,"), width=width, indent=0)
    return lines


def continued(command: str, *, width: int) -> list[str]:
    """A command as lines that a shell reads as one: all but the last end with a backslash.

    None is wider than `width` but for a word in quotes that is: a shell would take the backslash for a part of it.
    """
    words, width = [found[0] for found in _UNIT.finditer(command)], max(width, _LEAST_ROOM)
    lines, line = [], ""
    for number, word in enumerate(words, start=1):
        room = width - (0 if number == len(words) else len(_CONTINUED))
        begun = f"{line} {word}" if line else f"{GAP}{word}"
        if line and len(begun) > room:
            lines.append(f"{line}{_CONTINUED}")
            begun = f"{GAP * 2}{word}"
        line = begun if len(begun) <= room else word
        while len(line) > room and not _QUOTED.search(line):
            cut = line.rfind("/", 1, width - 1) + 1 or width - 1
            lines.append(f"{line[:cut]}\\")
            line = line[cut:]
    return [*lines, line]


def aligned(rows: Sequence[Sequence[Text]], *, titles: int = 1) -> list[Text]:
    """Rows as lines with their columns aligned; the first `titles` of them are the header."""
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows):
        line = Text(style="bold" if number < titles else "")
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell).append(" " * (width - cell.cell_len) + GAP)
        line.rstrip()
        lines.append(line)
    return lines


def annotated(rows: Sequence[Sequence[Text]], notes: Sequence[str], *, width: int, indent: int = 2) -> list[Text]:
    """Rows as `aligned` ones, each with its note: beside it where there is room for one, and else below it."""
    lines: list[Text] = []
    beside = indent + max((line.cell_len for line in aligned(rows)), default=0) + len(GAP)
    below = width - beside < _LEAST_COLUMN
    for line, note in zip(aligned(rows), notes, strict=True):
        row = Text(" " * indent, style=line.style).append_text(line)
        said = wrapped(note, width=width, indent=indent + 4 if below else beside, style="dim")
        if said and not below:
            first = said.pop(0)
            row.append(" " * (beside - row.cell_len)).append(first.plain.lstrip(), style="dim")
        lines += [row, *said]
    return lines


def shortened(text: str, room: int) -> str:
    """`text` in `room` characters at most: an ellipsis stands for its middle, since ends tell names apart."""
    if len(text) <= room:
        return text
    kept = max(room - 1, 2)
    return f"{text[: kept // 2]}…{text[-(kept - kept // 2) :]}"
