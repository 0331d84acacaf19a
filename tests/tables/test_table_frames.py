"""Tables read by columns and row by row: the same tables, and the same refusals."""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.bench.stages import Stage
from harness.tables.frames import Rows, rows_of, typed
from harness.tables.launches import Launch
from harness.tables.reading import LARGE_BYTES, read_table
from harness.tables.rows import format_rows, parse_rows, split_rows
from harness.tables.schema import Table
from harness.tables.writing import write_table
from harness.verdict.comparison import Category, compare
from harness.verdict.gate import judge
from tests.tables.samples import failed, mismatched, not_applicable, passed, table, timed
from tests.tables.test_table_rows import launches, records

ROOT = Path(__file__).resolve().parents[2]


def told(folder: Path, large_bytes: float) -> Table | str:
    try:
        return read_table(folder, large_bytes=large_bytes)
    except UsageError as error:
        return str(error)


def both(folder: Path) -> Table | str:
    """What reading comes to, which is the same either way. Tables are told by their text, since NaN is no other NaN."""
    by_columns, by_rows = told(folder, 0), told(folder, math.inf)
    if isinstance(by_columns, str) or isinstance(by_rows, str):
        assert by_columns == by_rows
        return by_rows
    assert _text(by_columns) == _text(by_rows)
    assert by_columns.run == by_rows.run
    return by_columns


def _text(read: Table) -> str:
    return format_rows(Record, read.records) + format_rows(Launch, read.launches) + repr(tuple(read.records))


@functools.cache
def several(number: int = 8) -> Table:
    found: list[Record] = []
    ran: list[Launch] = []
    for each in range(number):
        made, launches = timed(f"m{each}", "native", [0.002, 0.0021], [0.0020001 * (1 + each / 100)], gpu_use=None)
        ran += launches
        found += [
            made,
            failed(f"m{each}", "onnx", error=f'the graph, "{each}"\nis =not; -valid é'),
            not_applicable(f"m{each}", "tf"),
        ]
        found += [
            mismatched(f"m{each}", "onnx:16", mse=math.nan, relative_error=math.inf),
            failed(f"m{each}", "jax", Stage.BUILD),
        ]
    return table(*found, launches=ran)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_table(tmp_path / "results", several())


def edit(folder: Path, old: str, new: str, *, of: str = "cells.csv") -> None:
    text = (folder / of).read_text(encoding="utf-8")
    assert old in text
    (folder / of).write_text(text.replace(old, new, 1), encoding="utf-8", newline="")


@given(st.lists(records, max_size=4) | st.lists(launches, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_rows_are_the_same_by_columns(written: list[Any]) -> None:
    kind = type(written[0]) if written else Record
    text = format_rows(kind, written)
    frame = typed(kind, text.encode())
    by_rows = parse_rows(kind, *split_rows(text, where="", remedy=""), where="", remedy="")
    if frame is None:  # whole numbers beyond 64 bits, and texts that Polars would quote otherwise
        assert any(abs(v) >= 2**63 for each in by_rows for v in vars(each).values() if type(v) is int) or " " in text
        return
    assert repr(rows_of(kind, frame)) == repr(by_rows)


def test_a_table_is_the_same_by_columns(folder: Path) -> None:
    read = both(folder)
    assert isinstance(read, Table)
    assert isinstance(read.launches, Rows)
    by_rows = read_table(folder)
    assert read.launches == by_rows.launches
    assert by_rows.launches == read.launches
    assert (read.launches[3], read.launches[-1], read.launches[2:5]) == (
        by_rows.launches[3],
        by_rows.launches[-1],
        by_rows.launches[2:5],
    )
    with pytest.raises(IndexError):
        read.launches[len(read.launches)]


def test_what_a_gate_says_of_it_is_the_same(folder: Path, tmp_path: Path) -> None:
    other = write_table(tmp_path / "other", several(7))
    verdicts = []
    for large_bytes in (0, math.inf):
        comparison = compare(*(read_table(each, large_bytes=large_bytes) for each in (folder, other)))
        verdicts.append(
            (
                repr(comparison.changes),
                repr(comparison.of(Category.FIXED, Category.MISSING_IN_CANDIDATE)),
                repr([comparison.changes[place] for place in (0, -1)]),
                comparison.counts,
                comparison.notes,
                comparison.memory,
                comparison.latency,
                judge(comparison).reasons,
            )
        )
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",passed,", ",pased,"),
        (",measure,", ",,"),
        ("m0,", ","),
        ("m1,", "m0,"),
        (",quick,", ",core,"),
        ("torch2.0,,", "torch2.1,,"),
        ("torch2.0,,", "torch2.0,tools,"),
        (",passed,measure,", ",passed,load,"),
        ("2.025050", "fast"),
        ("2.025050", "2.026050"),
        ("2.025050", "nan"),
        ("2.025050", "-inf"),
        ("2.025050", "1_0"),
        ("2.025050", "+2.025050"),
        ("2.025050", " 2.025050"),
        ("2.025050", "2.025e0"),
        ("2.025050", '"2.025050"'),
        ("2.025050", '""'),
        ("2.025050", "9" * 400),
        (",30,", ",30.0,"),
        (",30,", ",99999999999999999999,"),
        ("model,", "mood,"),
        ("model,strategy", "strategy,model"),
        (",carried_from\n", "\n"),
        ("\n", "\n\n"),
        ("\n", "\r\n"),
        ('"the graph', '"the\ngraph'),
        ('""0""', '"0"'),
        ('""0""', '0"'),
        ("torch2.0,,m0", "\ufefftorch2.0,,m0"),
        ("ffffffff,", "ffffffff,,"),
        ("ffffffff,", "ffffffff"),
    ],
)
def test_an_edited_table_is_the_same_or_refused_alike(folder: Path, old: str, new: str) -> None:
    edit(folder, old, new)
    both(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",native,cpu,0,", ",native,cpu,1,"),
        ("m0,native", "m99,native"),
        (",yes,", ",maybe,"),
        (",yes,", ",no,"),
        (",yes,", ",,"),
        ("0.0000,0.000,", "0.0000,3.000,"),
        ("0.0000,0.000,", "0.5000,0.000,"),
        ("0.0000,0.000,", ",,"),
        ("2.050000", "-2.050000"),
        (",2,10,", ",2,0,"),
    ],
)
def test_edited_launches_are_the_same_or_refused_alike(folder: Path, old: str, new: str) -> None:
    edit(folder, old, new, of="launches.csv")
    both(folder)


@pytest.mark.parametrize("name", ["cells.csv", "launches.csv", "run.json"])
def test_files_that_are_not_there_or_no_text_are_refused_alike(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\xff" + (folder / name).read_bytes())
    assert isinstance(both(folder), str)
    (folder / name).unlink()
    assert isinstance(both(folder), str)


@pytest.mark.parametrize(
    ("key", "value"), [("device", "cuda"), ("recorded", 3), ("mood", "good"), ("carried", 1), ("schema_version", 99)]
)
def test_another_run_is_refused_alike(folder: Path, key: str, value: object) -> None:
    run = {**json.loads((folder / "run.json").read_text()), key: value}
    (folder / "run.json").write_text(json.dumps(run))
    assert isinstance(both(folder), str)


def test_anything_edited_anywhere_is_the_same_or_refused_alike(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "results", several(3))
    whole = {name: (folder / name).read_text(encoding="utf-8") for name in ("cells.csv", "launches.csv")}
    refused = []

    @given(st.sampled_from(sorted(whole)), st.data())
    @settings(max_examples=100, derandomize=True, deadline=None)
    def check(name: str, data: st.DataObject) -> None:
        text = whole[name]
        at = data.draw(st.integers(0, len(text) - 1))
        put = data.draw(st.sampled_from(["", "0", ",", '"', "\n", "'", "=", "\r", "x", " ", '""', "é", "-", ".", "e"]))
        (folder / name).write_text(
            text[:at] + put + text[at + data.draw(st.integers(0, 2)) :], encoding="utf-8", newline=""
        )
        refused.append(isinstance(both(folder), str))
        (folder / name).write_text(text, encoding="utf-8", newline="")

    check()
    assert min(sum(refused), len(refused) - sum(refused)) >= 10


def test_committed_tables_are_the_same_by_columns() -> None:
    for run in sorted((ROOT / "results").glob("*/*/*/run.json")):
        assert isinstance(both(run.parent), Table)


def test_a_small_table_is_read_without_polars(folder: Path) -> None:
    assert (folder / "cells.csv").stat().st_size < LARGE_BYTES
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.cli import main\n"
        "from harness.tables.reading import read_table\nread_table(Path(sys.argv[1]))\n"
        "assert 'polars' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, timeout=60)


def test_a_large_table_is_read_by_columns(tmp_path: Path) -> None:
    many = [passed(f"m{each}", "native", error=None) for each in range(4000)]
    folder = write_table(tmp_path, table(*many))
    read = read_table(folder)
    assert isinstance(read.launches, Rows)
    assert read == read_table(folder, large_bytes=math.inf)
