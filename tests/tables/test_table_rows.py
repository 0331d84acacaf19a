from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.columns import Column, columns_of
from harness.tables.launches import Launch
from harness.tables.rows import format_rows, parse_rows, split_rows
from harness.tables.schema import COLUMNS, LAUNCH_COLUMNS
from tests.tables.samples import failed, passed

HEADER = tuple(column.name for column in COLUMNS)


def read(text: str) -> tuple[Record, ...]:
    header, rows = split_rows(text, where="cells.csv", remedy="Run it again.")
    return parse_rows(Record, header, rows, where="cells.csv", remedy="Run it again.")


def values_of(column: Column) -> st.SearchStrategy[Any]:
    kinds: dict[type, st.SearchStrategy[Any]] = {
        str: st.text(),
        int: st.integers(),
        # The largest floats round up to infinity at four digits.
        bool: st.booleans(),
        float: st.floats(-1e300, 1e300) | st.sampled_from([math.inf, -math.inf, math.nan]),
        Outcome: st.sampled_from(Outcome),
        Stage: st.sampled_from(Stage),
    }
    if column.optional:
        return st.none() | kinds[column.kind]
    # A cell has a name: what identifies it is never empty, nor a line break alone.
    return (
        st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1)
        if column.kind is str
        else kinds[column.kind]
    )


records = st.builds(Record, **{column.name: values_of(column) for column in COLUMNS})
launches = st.builds(Launch, **{column.name: values_of(column) for column in LAUNCH_COLUMNS})


@given(records | launches)
@settings(max_examples=120, deadline=None)
def test_what_is_read_is_what_was_written(written: Record | Launch) -> None:
    kind: Any = type(written)
    text = format_rows(kind, [written])
    assert text.count("\n") == 2
    (back,) = parse_rows(kind, *split_rows(text, where="", remedy=""), where="", remedy="")
    assert format_rows(kind, [back]) == text
    for column in columns_of(kind):
        if column.kind not in (str, float):
            assert getattr(back, column.name) == getattr(written, column.name)


def test_text_is_one_line_and_none_is_nothing() -> None:
    text = format_rows(Record, [failed("m", "native", error='line one\r\nline "two", more\x85end', stage=Stage.LOAD)])
    assert text.splitlines()[1].startswith(
        'torch2.0,,m,native,cpu,quick,failed,load,Fail,"line one line ""two"", more end",ffffffff,,,,'
    )


def test_what_was_no_utf8_is_written_all_the_same() -> None:
    assert read(format_rows(Record, [failed("m", "native", error="bad byte \udc80")]))[0].error == "bad byte \\udc80"


def test_numbers_have_the_digits_of_their_column() -> None:
    row = dict(
        zip(
            HEADER,
            format_rows(Record, [passed("m", "native", mse=1 / 3, cosine=0.5)]).splitlines()[1].split(","),
            strict=True,
        )
    )
    assert (row["mse"], row["cosine"], row["latency_ms"], row["artifact_bytes"]) == (
        "3.333e-01",
        "0.500000000",
        "2.000000",
        "1000",
    )


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("latency_ms", "fast", "cells.csv: row 2 (line 3), column 'latency_ms': expected a number, got 'fast'"),
        ("latency_ms", "1_0", "column 'latency_ms': expected a number, got '1_0'"),
        ("opset", "17.0", "column 'opset': expected a whole number, got '17.0'"),
        ("outcome", "pased", "column 'outcome': expected one of passed, failed, "),
        ("stage", "", "column 'stage': expected one of resolve, "),
        ("model", "", "column 'model': expected a value, got nothing"),
    ],
)
def test_a_wrong_value_is_named_by_row_and_column(column: str, text: str, message: str) -> None:
    header, rows = split_rows(
        format_rows(Record, [passed("a", "native"), passed("b", "native")]), where="cells.csv", remedy=""
    )
    rows[1][header.index(column)] = text
    with pytest.raises(UsageError) as caught:
        parse_rows(Record, header, rows, where="cells.csv", remedy="Run it again.")
    assert message in str(caught.value)
    assert str(caught.value).endswith("Run it again.")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER[:-1], "the header lacks carried_from"),
        ((*HEADER, "mood"), "the header has columns that the schema does not know: mood"),
        (HEADER[::-1], "not in the order of the schema"),
    ],
)
def test_the_header_is_that_of_the_schema(header: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_rows(Record, header, [], where="cells.csv", remedy="")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cut short"),
        ("a,b\n1,2", "its last line has no end"),
        ("a,b\n1\n", r"row 1 \(line 2\): 1 fields, and the header has 2"),
        ('a,b\n1,"2\n', "not valid CSV"),
    ],
)
def test_text_that_is_cut_short_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split_rows(text, where="cells.csv", remedy="")
