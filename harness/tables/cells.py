"""`cells.csv` as text: records to lines and back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.bench.text import neutral, original, printable
from harness.tables.schema import COLUMNS, Column

HEADER = tuple(column.name for column in COLUMNS)

_MAY_BE_EMPTY = ("extension",)
_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?([0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?|inf|nan)")


def format_value(column: Column, value: Any) -> str:
    """A value as the table holds it: None is nothing, numbers have fixed digits, text is one harmless line."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        return str(value.value)
    if column.kind is float:
        return format(value, column.digits)
    if column.kind is str:
        return neutral(printable(value).replace("\n", " "))
    return str(value)


def parse_value(column: Column, text: str) -> Any:
    """The inverse of `format_value`. Raises `ValueError` with the column and what was expected in it."""
    if not text and (column.optional or column.name in _MAY_BE_EMPTY):
        return None if column.optional else ""
    if issubclass(column.kind, Enum):
        known = [member.value for member in column.kind]
        expected, good = f"one of {', '.join(known)}", text in known
    elif column.kind is int:
        expected, good = "a whole number", bool(_INTEGER.fullmatch(text))
    elif column.kind is float:
        expected, good = "a number", bool(_NUMBER.fullmatch(text))
    else:
        expected, good = "a value", bool(text)
    if not good:
        msg = f"column '{column.name}': expected {expected}, got {repr(text) if text else 'nothing'}"
        raise ValueError(msg)
    return original(text) if column.kind is str else column.kind(text)


def format_cells(records: Iterable[Record]) -> str:
    """The text of `cells.csv`: a header, then a line a record, in the order given."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    writer.writerow(HEADER)
    for record in records:
        writer.writerow(format_value(column, getattr(record, column.name)) for column in COLUMNS)
    return buffer.getvalue()


def split_cells(text: str, *, where: str, remedy: str) -> tuple[list[str], list[list[str]]]:
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
            msg = f"{where}: {_row(number)}: {len(row)} fields, and the header has {len(header)}. {remedy}"
            raise UsageError(msg)
    return header, rows


def parse_cells(header: Sequence[str], rows: Iterable[Sequence[str]], *, where: str, remedy: str) -> tuple[Record, ...]:
    """The records of rows whose header is that of this schema.

    Raises `UsageError` with the row and the column of the first wrong value.
    """
    if tuple(header) != HEADER:
        msg = f"{where}: {_header_problem(header)}. {remedy}"
        raise UsageError(msg)
    return tuple(
        _record(row, where=f"{where}: {_row(number)}", remedy=remedy) for number, row in enumerate(rows, start=1)
    )


def _record(row: Sequence[str], *, where: str, remedy: str) -> Record:
    try:
        return Record(**{column.name: parse_value(column, text) for column, text in zip(COLUMNS, row, strict=True)})
    except ValueError as error:
        msg = f"{where}, {error}. {remedy}"
        raise UsageError(msg) from None


def _row(number: int) -> str:
    return f"row {number} (line {number + 1})"


def _header_problem(header: Sequence[str]) -> str:
    lacks = [name for name in HEADER if name not in header]
    extra = [name for name in header if name not in HEADER]
    if lacks:
        return f"the header lacks {', '.join(lacks)}"
    if extra:
        return f"the header has columns that the schema does not know: {', '.join(extra)}"
    return "the header's columns are not in the order of the schema"
