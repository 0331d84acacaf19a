"""Series of numbers in a line of text."""

from __future__ import annotations

from collections.abc import Collection, Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-~=+*#"
CHANGE = "|"
"""Stands before the first number of a new level."""
_LEAST_RANGE = 0.1
"""Of the largest number: what a line's height is at least, so that noise of 1 % does not look like a leap."""


def sparkline(values: Sequence[float], changes: Collection[int] = (), *, glyphs: str = BLOCKS) -> str:
    """A character a value, higher for larger ones; at the indices `changes` stands `CHANGE` before it."""
    if not values:
        return ""
    highest = max(values)
    lowest = min(*values, highest * (1 - _LEAST_RANGE))
    height = (highest - lowest) or 1.0
    levels = [min(int((value - lowest) / height * len(glyphs)), len(glyphs) - 1) for value in values]
    return "".join((CHANGE if index in changes else "") + glyphs[level] for index, level in enumerate(levels))
