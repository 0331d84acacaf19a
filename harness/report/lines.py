"""Text as lines of a terminal."""

from __future__ import annotations

import textwrap

from rich.text import Text

_LEAST_ROOM = 40


def wrapped(text: str, *, width: int, indent: int, style: str = "", hanging: int = 0) -> list[Text]:
    """Lines of `width` characters at most, words whole, from `indent` on; all but the first `hanging` further in."""
    room = max(width - indent, _LEAST_ROOM)
    parts = textwrap.wrap(text, room, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)
    return [Text(" " * indent + part, style=style) for part in parts]
