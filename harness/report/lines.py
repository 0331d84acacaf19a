"""Text as lines of a terminal: what is too long goes on in the next line, further in, and nothing of it is lost.

Where output goes to no terminal, lines that were not made to fit stay whole, so that a log can be searched and an id
copied.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from harness.bench.text import one_line

GAP = "  "
_LEAST_ROOM = 40
_LEAST_COLUMN = 30
"""A last column that has less room goes below its row."""
_FURTHER_IN = 2


def show(console: Console, lines: Iterable[Text]) -> None:
    """Print lines, each of what is no wider than the console; whole where the console wraps softly."""
    for line in lines:
        # What a table or a name may hold is text here too, whatever a terminal would make of it.
        shown = line if line.plain.isprintable() else Text(one_line(line.plain), style=line.style)
        for part in [shown] if console.soft_wrap else fitted(console, shown):
            console.print(part, soft_wrap=True, highlight=False)


def fitted(console: Console, line: Text) -> list[Text]:
    """A line as lines that are no wider than the console: words whole where they fit, the rest of it further in."""
    width = console.width
    if line.cell_len <= width:
        return [line]
    indent = min(len(line.plain) - len(line.plain.lstrip(" ")), width // 2)
    further = min(indent + _FURTHER_IN, width // 2)
    body = line[len(line.plain) - len(line.plain.lstrip(" ")) :]
    parts = body.wrap(console, width - further, overflow="fold")
    return [
        Text(" " * (further if number else indent), style=line.style).append_text(part)
        for number, part in enumerate(parts)
    ]


def wrapped(text: str, *, width: int, indent: int, style: str = "", hanging: int = 0) -> list[Text]:
    """Lines of `width` characters at most, words whole, from `indent` on; all but the first `hanging` further in."""
    room = max(width - indent, _LEAST_ROOM)
    parts = textwrap.wrap(text, room, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)
    return [Text(" " * indent + part, style=style) for part in parts]


def aligned(rows: Sequence[Sequence[Text]]) -> list[Text]:
    """Rows as lines with their columns aligned; the first row is the header."""
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows):
        line = Text(style="bold" if number == 0 else "")
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
