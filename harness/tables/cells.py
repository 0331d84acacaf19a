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
from harness.tables.schema import COLUMNS, Column

HEADER = tuple(column.name for column in COLUMNS)

_MAY_BE_EMPTY = ("extension",)
_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?([0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?|inf|nan)")


def format_value(column: Column, value: Any) -> str:
    """A value as the table holds it: None is nothing, numbers have fixed digits, text is one line."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        return str(value.value)
    if column.kind is float:
        return format(value, column.digits)
    if column.kind is str:
        # What a tool printed may hold bytes that were no UTF-8; a table must be written all the same.
        printable = value.encode("utf-8", "backslashreplace").decode("utf-8")
        return " ".join(printable.splitlines())
    return str(value)


def parse_value(column: Column, text: str) -> Any:
    """The inverse of `format_value`. Raises `ValueError` with what was expected."""
    if not text:
        if column.optional:
            return None
        if column.name in _MAY_BE_EMPTY:
            return ""
        msg = "expected a value, got nothing"
        raise ValueError(msg)
    if issubclass(column.kind, Enum):
        known = [member.value for member in column.kind]
        if text not in known:
            msg = f"expected one of {', '.join(known)}, got {text!r}"
            raise ValueError(msg)
        return column.kind(text)
    if column.kind is int:
        if not _INTEGER.fullmatch(text):
            msg = f"expected a whole number, got {text!r}"
            raise ValueError(msg)
        return int(text)
    if column.kind is float:
        if not _NUMBER.fullmatch(text):
            msg = f"expected a number, got {text!r}"
            raise ValueError(msg)
        return float(text)
    return text


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


def parse_cells(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, where: str, remedy: str
) -> tuple[Record, ...]:
    """The records of rows whose header is that of this schema.

    Raises `UsageError` with the row and the column of the first wrong value.
    """
    if tuple(header) != HEADER:
        raise UsageError(f"{where}: {_header_problem(header)}. {remedy}")
    records = []
    for number, row in enumerate(rows, start=1):
        values = {}
        for column, text in zip(COLUMNS, row, strict=True):
            try:
                values[column.name] = parse_value(column, text)
            except ValueError as error:
                msg = f"{where}: {_row(number)}, column '{column.name}': {error}. {remedy}"
                raise UsageError(msg) from None
        records.append(Record(**values))
    return tuple(records)


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
