"""Rows that are made when somebody asks for them, and what can be had of them without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

from harness.tables.collection import no_collection

T = TypeVar("T")


class Lazy(Sequence[T]):
    """What a tuple would hold, made when it is asked for: all of it by who goes through it, and kept then."""

    def __init__(self, length: int, make: Callable[[Sequence[int]], tuple[T, ...]]) -> None:
        self._length = length
        self._make = make
        self._all: tuple[T, ...] | None = None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        if self._all is None:
            with no_collection():
                self._all = self._make(range(self._length))
        return iter(self._all)

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[T, ...]: ...
    def __getitem__(self, at: int | slice) -> T | tuple[T, ...]:
        """Source: the sequence protocol; a slice is a tuple."""
        places = range(self._length)[at]
        return self.at([places])[0] if isinstance(places, int) else self.at(places)

    def at(self, places: Sequence[int]) -> tuple[T, ...]:
        """Those at some places, in that order."""
        return self._make(places) if self._all is None else tuple(self._all[each] for each in places)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # like the mappings beside it in a table

    def __repr__(self) -> str:
        return repr(tuple(self))


@runtime_checkable
class ByColumns(Protocol):
    """Rows of which single columns can be had without making the rows."""

    def values(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Of each row the values of some columns."""

    def grouped(self, by: Sequence[str], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The values of `by`, and of each of `names` a list of all that is there with them."""


def values_of(rows: Sequence[Any], names: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    """Of each row the values of two or more columns."""
    return rows.values(names) if isinstance(rows, ByColumns) else map(attrgetter(*names), rows)


def at(rows: Sequence[T], places: Sequence[int]) -> tuple[T, ...]:
    """The rows at some places, in that order."""
    return rows.at(places) if isinstance(rows, Lazy) else tuple(rows[each] for each in places)
