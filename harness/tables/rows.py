"""Rows of a table as text, those of `cells.csv` and of `launches.csv`: dataclasses to lines of CSV and back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, TypeVar

from harness.bench.errors import UsageError
from harness.bench.text import neutral, original, printable
from harness.tables.columns import Column, columns_of

T = TypeVar("T")

MAY_BE_EMPTY = ("extension",)
INTEGER = re.compile(r"-?[0-9]+")
TRUTH = {"yes": True, "no": False}
NUMBER = re.compile(r"-?([0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?|inf|nan)")


def format_value(column: Column, value: Any) -> str:
    """A value as the table holds it: None is nothing, numbers have fixed digits, text is one harmless line."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        return str(value.value)
    if column.kind is bool:
        return next(word for word, truth in TRUTH.items() if truth is value)
    if column.kind is float:
        return format(value, column.digits)
    if column.kind is str:
        return neutral(printable(value).replace("\n", " "))
    return str(value)


def parse_value(column: Column, text: str) -> Any:
    """The inverse of `format_value`. Raises `ValueError` with the column and what was expected in it."""
    if not text and (column.optional or column.name in MAY_BE_EMPTY):
        return None if column.optional else ""
    if issubclass(column.kind, Enum):
        known = [member.value for member in column.kind]
        expected, good = f"one of {', '.join(known)}", text in known
    elif column.kind is bool:
        expected, good = "yes or no", text in TRUTH
    elif column.kind is int:
        expected, good = "a whole number", bool(INTEGER.fullmatch(text))
    elif column.kind is float:
        expected, good = "a number", bool(NUMBER.fullmatch(text))
    else:
        expected, good = "a value", bool(text)
    if not good:
        msg = f"column '{column.name}': expected {expected}, got {repr(text) if text else 'nothing'}"
        raise ValueError(msg)
    if column.kind is bool:
        return TRUTH[text]
    return original(text) if column.kind is str else column.kind(text)


def format_rows(kind: type[T], rows: Iterable[T]) -> str:
    """The text of a file of rows, dataclasses of one `kind`: a header, then a line a row, in the order given."""
    columns = columns_of(kind)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    for row in rows:
        writer.writerow(format_value(column, getattr(row, column.name)) for column in columns)
    return buffer.getvalue()


def split_rows(text: str, *, where: str, remedy: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows as text, each row as long as the header.

    Raises `UsageError` where the text is cut short.
    """
    if not text.endswith("\n"):
        msg = f"{where}: cut short, its last line has no end. {remedy}"
        raise UsageError(msg)
    try:
        header, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        msg = f"{where}: not valid CSV, perhaps cut short ({error}). {remedy}"
        raise UsageError(msg) from None
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            msg = f"{where}: {row_name(number)}: {len(row)} fields, and the header has {len(header)}. {remedy}"
            raise UsageError(msg)
    return header, rows


def parse_rows(
    kind: type[T], header: Sequence[str], rows: Iterable[Sequence[str]], *, where: str, remedy: str
) -> tuple[T, ...]:
    """The dataclasses of `kind` that rows hold whose header is that of this schema.

    Raises `UsageError` with the row and the column of the first wrong value.
    """
    columns = columns_of(kind)
    names = [column.name for column in columns]
    if list(header) != names:
        msg = f"{where}: {_header_problem(header, names)}. {remedy}"
        raise UsageError(msg)
    return tuple(
        _parsed(kind, columns, row, where=f"{where}: {row_name(number)}", remedy=remedy)
        for number, row in enumerate(rows, start=1)
    )


def _parsed(kind: type[T], columns: Sequence[Column], row: Sequence[str], *, where: str, remedy: str) -> T:
    try:
        return kind(**{column.name: parse_value(column, text) for column, text in zip(columns, row, strict=True)})
    except ValueError as error:
        msg = f"{where}, {error}. {remedy}"
        raise UsageError(msg) from None


def row_name(number: int) -> str:
    """The row that is number `number` of a file, from 1, for a message: the first is in the second line."""
    return f"row {number} (line {number + 1})"


def _header_problem(header: Sequence[str], names: Sequence[str]) -> str:
    lacks = [name for name in names if name not in header]
    extra = [name for name in header if name not in names]
    if lacks:
        return f"the header lacks {', '.join(lacks)}"
    if extra:
        return f"the header has columns that the schema does not know: {', '.join(extra)}"
    return "the header's columns are not in the order of the schema"
