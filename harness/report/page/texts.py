"""Texts and numbers as the data of the page has them: each text once, and nothing in it that acts or hides."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Generic, TypeVar

from harness.bench.text import printable

LONGEST_TEXT = 4_000
"""Characters of a text at most: a table's error has 500, and what others wrote into one may have millions."""

T = TypeVar("T", bound=Hashable)


class Once(Generic[T]):
    """Values by their number, each kept once, in the order in which they came."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}

    def number(self, value: T) -> int:
        """The number of a value."""
        return self._numbers.setdefault(value, len(self._numbers))

    @property
    def values(self) -> list[T]:
        """All of them, in the order of their numbers."""
        return list(self._numbers)


class Texts(Once[str]):
    """Texts by their number, made harmless and cut."""

    def of(self, text: str | None) -> int | None:
        """The number of a text; None for none."""
        return self.number(harmless(text)) if text else None

    def all_of(self, texts: list[str]) -> list[int]:
        """The numbers of texts."""
        return [self.number(harmless(text)) for text in texts]


def harmless(text: str) -> str:
    """A text of a tool or a user as the page shows it; what is beyond `LONGEST_TEXT` is counted."""
    if len(text) <= LONGEST_TEXT:
        return printable(text)
    return f"{printable(text[:LONGEST_TEXT])}… ({len(text) - LONGEST_TEXT:,} more characters)"


def plain_number(value: float | None) -> float | str | None:
    """A number as JSON has it; what JSON has none for is a word."""
    if value is None or math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
