"""Rows of a large CSV file as columns of their declared types, by Polars. Import this late: Polars takes 0.1 s to load.

What is read here is what `harness.tables.rows` would read, or nothing is: a file that Polars does not write again byte
by byte as it was, and one with a value that is not of its column, are left to that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, TypeVar

import polars as pl

from harness.bench.text import original
from harness.tables.columns import Column, columns_of
from harness.tables.lazy import Lazy
from harness.tables.rows import INTEGER, MAY_BE_EMPTY, NUMBER, TRUTH

T = TypeVar("T")

_NUMBERS: dict[type, type[pl.DataType]] = {int: pl.Int64, float: pl.Float64}


class Rows(Lazy[T]):
    """The rows of a frame as dataclasses, made when they are asked for; equal to a tuple of them."""

    def __init__(self, kind: type[T], frame: pl.DataFrame) -> None:
        super().__init__(frame.height, self._made)
        self.frame = frame
        self._kind = kind

    def _made(self, places: Sequence[int]) -> tuple[T, ...]:
        return rows_of(self._kind, self.frame if places == range(len(self)) else self.frame[list(places)])

    def values(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Of each row the values of some columns, without making the rows."""
        column = {each.name: each for each in columns_of(self._kind)}
        return zip(*(_members(column[name], self.frame[name].to_list()) for name in names), strict=True)

    def grouped(self, by: Sequence[str], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The values of `by`, and of each of `names` a list of all that is there with them, without making the rows."""
        return iter(self.frame.group_by(by, maintain_order=True).agg(*names).rows())


def typed(kind: type[Any], text: bytes) -> pl.DataFrame | None:
    """The rows of `kind` that a file of this schema holds, enums as their values; None where anything is doubtful."""
    columns = columns_of(kind)
    try:
        text.decode("utf-8")
        raw = pl.read_csv(text, infer_schema=False)
    except (UnicodeDecodeError, pl.exceptions.PolarsError):
        return None
    if raw.columns != [column.name for column in columns] or raw.write_csv().encode() != text:
        return None
    if not raw.select(pl.all_horizontal(_good(column).all() for column in columns)).item():
        return None
    frame = raw.select(_value(column) for column in columns)
    lost = frame.null_count().row(0) != raw.select(_filled(column) for column in columns).null_count().row(0)
    return None if lost else frame.with_columns(_original(frame[each.name]) for each in columns if each.kind is str)


def rows_of(kind: type[T], frame: pl.DataFrame) -> tuple[T, ...]:
    """The rows of a frame that `typed` made, as dataclasses of `kind`."""
    names = [column.name for column in columns_of(kind)]
    values = [_members(column, frame[column.name].to_list()) for column in columns_of(kind)]
    # Their own constructor sets attribute by attribute, which takes three times as long; nothing else happens in it.
    made = []
    for row in zip(*values, strict=True):
        each = object.__new__(kind)
        object.__setattr__(each, "__dict__", dict(zip(names, row, strict=True)))
        made.append(each)
    return tuple(made)


def frame_of(kind: type[Any], rows: Sequence[Any]) -> pl.DataFrame:
    """The frame that `rows_of` makes `rows` of again. Raises `OverflowError` where a number has more than 64 bits."""
    made = []
    for column in columns_of(kind):
        values = [getattr(row, column.name) for row in rows]
        if issubclass(column.kind, Enum):
            values = [value.value for value in values]
        dtype = pl.Boolean if column.kind is bool else _NUMBERS.get(column.kind, pl.String)
        made.append(pl.Series(column.name, values, dtype=dtype))
    return pl.DataFrame(made)


def _members(column: Column, values: list[Any]) -> list[Any]:
    if not issubclass(column.kind, Enum):
        return values
    member = {each.value: each for each in column.kind}
    return [member[value] for value in values]


def _good(column: Column) -> pl.Expr:
    """Whether the text of a value is one that `harness.tables.rows` takes."""
    text = pl.col(column.name)
    if issubclass(column.kind, Enum):
        good = text.is_in([member.value for member in column.kind])
    elif column.kind is bool:
        good = text.is_in(list(TRUTH))
    elif column.kind in (int, float):
        pattern = INTEGER if column.kind is int else NUMBER
        good = text.str.contains(rf"\A(?:{pattern.pattern})\z")
    else:
        good = text != ""
    empty_too = column.optional or column.name in MAY_BE_EMPTY
    return good.fill_null(value=empty_too).alias(column.name)


def _filled(column: Column) -> pl.Expr:
    """The text of a value, where nothing stands for an empty text that may be one."""
    text = pl.col(column.name)
    return text if column.optional else text.fill_null("")


def _value(column: Column) -> pl.Expr:
    text = _filled(column)
    if column.kind is bool:
        return text == next(word for word, truth in TRUTH.items() if truth)
    return text.cast(_NUMBERS[column.kind], strict=False) if column.kind in _NUMBERS else text


def _original(texts: pl.Series) -> pl.Series:
    """Texts without the apostrophes that keep a spreadsheet from running them."""
    marked = texts.filter(texts.str.contains("'", literal=True)).unique().to_list()
    changed = {text: original(text) for text in marked if original(text) != text}
    return texts.replace(changed) if changed else texts
