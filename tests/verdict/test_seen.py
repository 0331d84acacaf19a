"""What a comparison asks of a cell, against the records that it is of."""

from __future__ import annotations

import math
import typing
from pathlib import Path

from harness.bench.record import Record
from harness.tables.reading import read_table
from harness.tables.writing import write_table
from harness.verdict.seen import Seen, seen
from tests.tables.samples import failed, mismatched, passed, table


def test_it_has_columns_of_a_record_of_the_same_types() -> None:
    of_record = typing.get_type_hints(Record)
    assert typing.get_type_hints(Seen) == {name: of_record[name] for name in Seen._fields}


def test_it_is_of_large_tables_what_records_are_of_small_ones(tmp_path: Path) -> None:
    records = (
        failed("m0", "onnx:16"),
        mismatched("m0", "tf", relative_error=0.5),
        passed("m1", "native", provider="CPUExecutionProvider", rss_peak_mb=80.5),
    )
    folder = write_table(tmp_path, table(*records))
    small, large = (seen(read_table(folder, large_bytes=least)) for least in (math.inf, 0))
    assert all(isinstance(row, Record) for row in small)
    assert all(isinstance(row, Seen) for row in large)
    for row, record in zip(large, small, strict=True):
        assert row == tuple(getattr(record, name) for name in Seen._fields)
        assert (row.cell, row.seen_at("now")) == (record.cell, record.seen_at("now"))
