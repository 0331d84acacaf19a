"""`launches.csv`: what a latency is the median of, beside the row that has it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.errors import UsageError
from harness.bench.latency import BUSY_CORES, SPREAD
from harness.bench.record import Record
from harness.tables.assembly import merge
from harness.tables.consistency import check_table
from harness.tables.launches import Launch
from harness.tables.reading import read_table
from harness.tables.rows import format_rows, parse_rows, split_rows
from harness.tables.schema import Table
from harness.tables.writing import write_table
from tests.tables.samples import failed, not_applicable, passed, table, timed

FAST, OF_FAST = timed("lstm", "onnx-torchscript:16", [0.001, 0.002, 0.003], [0.004, 0.004, 0.004, 0.005])
SLOW, OF_SLOW = timed("lstm", "native", [0.010, 0.011, 0.012], steady=None, drift=None)


def with_launches() -> Table:
    return table(FAST, SLOW, not_applicable("lstm", "twin"), launches=[*OF_FAST, *OF_SLOW])


def edited(path: Path, row: int, **values: str) -> None:
    """Change fields of one row of a file, the first being 0."""
    header, *rows = list(csv.reader(io.StringIO(path.read_text())))
    for name, value in values.items():
        rows[row][header.index(name)] = value
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def test_launches_are_written_beside_the_cells_and_read_back(tmp_path: Path) -> None:
    folder = write_table(tmp_path, with_launches())
    assert sorted(path.name for path in folder.iterdir()) == ["cells.csv", "launches.csv", "run.json"]
    back = read_table(folder).launches
    assert [(each.strategy, each.launch, each.rounds, each.steady) for each in back] == [
        ("native", 0, 3, None),
        ("onnx-torchscript:16", 0, 3, True),
        ("onnx-torchscript:16", 1, 4, True),
    ]
    assert (back[1].q1_ms, back[1].latency_ms, back[1].q3_ms) == (1.5, 2.0, 2.5)
    assert (back[0].drift, back[1].drift, back[1].rss_peak_mb) == (None, 0.0, 90.0)
    assert write_table(tmp_path, with_launches()) == folder


def test_a_table_without_a_latency_has_no_such_file(tmp_path: Path) -> None:
    untimed = passed("lstm", "native", latency_ms=None, launches=None, iterations=None)
    folder = write_table(tmp_path, table(untimed, failed("lstm", "onnx-torchscript:16")))
    assert not (folder / "launches.csv").exists()
    assert read_table(folder).launches == ()


@pytest.mark.parametrize("there", [False, True])
def test_another_tables_launches_are_never_written_over(tmp_path: Path, there: bool) -> None:
    made, without = with_launches(), table(FAST, SLOW, not_applicable("lstm", "twin"), launches=())
    write_table(tmp_path, made if there else without)
    with pytest.raises(UsageError, match="there is another table already"):
        write_table(tmp_path, without if there else made)


def test_launches_of_cells_that_are_not_planned_are_passed_over() -> None:
    assert table(SLOW, launches=[*OF_FAST, *OF_SLOW]).launches == tuple(OF_SLOW)


def test_the_launches_of_extensions_come_into_the_same_table(tmp_path: Path) -> None:
    record, launches = timed("lstm", "onnx2tf", [0.1, 0.1], [0.1, 0.1])
    of_tools = Record(**{**vars(record), "extension": "tools"})
    moved = [Launch(**{**vars(each), "extension": "tools"}) for each in launches]
    made = merge([with_launches(), table(of_tools, launches=moved, extension="tools", lock_digest="")])
    back = read_table(write_table(tmp_path, made)).launches
    assert [(each.extension, each.strategy, each.launch) for each in back] == [
        ("", "native", 0),
        ("", "onnx-torchscript:16", 0),
        ("", "onnx-torchscript:16", 1),
        ("tools", "onnx2tf", 0),
        ("tools", "onnx2tf", 1),
    ]


def test_a_cell_that_broke_while_it_was_timed_keeps_the_launches_before(tmp_path: Path) -> None:
    made = table(SLOW, failed("lstm", "onnx-torchscript:16"), launches=[*OF_SLOW, OF_FAST[0]])
    assert len(read_table(write_table(tmp_path, made)).launches) == 2


@pytest.mark.parametrize(
    ("row", "values", "message"),
    [
        (0, {"strategy": "onnx"}, "row 1 (line 2) is of lstm/onnx on cpu, and cells.csv has no such cell."),
        (0, {"extension": "tools"}, "and cells.csv has no such cell of the extension 'tools'."),
        (2, {"launch": "2"}, "row 3 (line 4), lstm/onnx-torchscript:16, contradicts itself: 'launch' is 2, and it is"),
        (1, {"q1_ms": "2.1"}, "row 2 (line 3), lstm/onnx-torchscript:16, contradicts itself: 'latency_ms' 2.0 is not"),
        (1, {"busy_cores": "-1"}, "contradicts itself: 'busy_cores' is -1.0"),
        (1, {"rss_peak_mb": "inf"}, "contradicts itself: 'rss_peak_mb' is inf, which is no measurement"),
        (1, {"rounds": "0"}, "contradicts itself: 'rounds' is 0"),
        (1, {"rounds": "4"}, "do not make what cells.csv says: 'iterations' is 70, and they make 80."),
        (
            0,
            {"latency_ms": "11.0002"},
            "do not make what cells.csv says: 'latency_ms' is 11.000000, and they make 11.000200.",
        ),
        (0, {"q3_ms": "12"}, "'latency_iqr_ms' is 1.000000, and they make 1.500000."),
        (1, {"steady": "perhaps"}, "row 2 (line 3), column 'steady': expected yes or no, got 'perhaps'."),
        (1, {"latency_ms": ""}, "row 2 (line 3), column 'latency_ms': expected a number, got nothing."),
    ],
)
def test_launches_that_do_not_make_the_cells_are_refused(
    tmp_path: Path, row: int, values: dict[str, str], message: str
) -> None:
    folder = write_table(tmp_path, with_launches())
    edited(folder / "launches.csv", row, **values)
    with pytest.raises(UsageError) as caught:
        read_table(folder)
    assert str(caught.value).startswith(f"{folder / 'launches.csv'}: ")
    assert message in str(caught.value)
    assert str(caught.value).endswith("Restore the table from git, or make it again with `harness run`.")


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (slice(1, 3), "no launch of lstm/native, and cells.csv has a latency of it."),
        (slice(0, 2), "'launches' is 2, and they make 1; 'iterations' is 70, and they make 30; "),
    ],
)
def test_launches_that_were_taken_out_are_missed(tmp_path: Path, kept: slice, message: str) -> None:
    folder = write_table(tmp_path, with_launches())
    header, *rows = (folder / "launches.csv").read_text().splitlines(keepends=True)
    (folder / "launches.csv").write_text("".join([header, *rows[kept]]))
    with pytest.raises(UsageError) as caught:
        read_table(folder)
    assert message in str(caught.value)


@pytest.mark.parametrize("left", [None, "header"])
def test_a_table_that_lost_all_of_its_launches_is_refused(tmp_path: Path, left: str | None) -> None:
    path = write_table(tmp_path, with_launches()) / "launches.csv"
    header = path.read_text().splitlines(keepends=True)[0]
    path.unlink()
    if left:
        path.write_text(header)
    with pytest.raises(UsageError, match=r"launches\.csv: no launch of lstm/native, and cells\.csv has a"):
        read_table(path.parent)


ALIKE = {"steady": True, "drift": 0.0, "busy_cores": 0.0}


@pytest.mark.parametrize(
    ("medians_s", "values", "blanked", "message"),
    [
        ([0.001, 0.002], {}, {"latency_iqr_ms": ""}, "'latency_iqr_ms' is empty, and they make 0.000000."),
        ([0.001, 0.002], {}, {"latency_spread": ""}, "'latency_spread' is empty, and they make 0.667."),
        ([0.001, 0.002], {}, {"latency_spread": "0.000"}, "'latency_spread' is 0.000, and they make 0.667."),
        ([0.001], {}, {"latency_spread": "0.000"}, "'latency_spread' is 0.000, and a single launch has none."),
        ([0.001, 0.002], {}, {"latency_quality": ""}, "'latency_quality' is empty, and they make spread."),
        ([0.001], {"busy_cores": 1.0}, {"latency_quality": ""}, "'latency_quality' is empty, and they make busy."),
        ([0.001], {"steady": False}, {"latency_quality": ""}, "'latency_quality' is empty, and they make unsteady."),
        ([0.001], {"drift": -0.2}, {"latency_quality": ""}, "'latency_quality' is empty, and they make drift."),
        ([0.001], {}, {"latency_quality": "busy"}, "'latency_quality' is busy, and they make nothing."),
        ([0.001], {}, {"latency_quality": "good"}, "'latency_quality' is good, and they make nothing."),
        (
            [0.001],
            {"busy_cores": 1.0, "drift": 0.2},
            {"latency_quality": "drift, busy"},
            "'latency_quality' is drift, busy, and they make busy, drift.",
        ),
        (
            [0.001],
            {},
            dict.fromkeys(("latency_ms", "latency_iqr_ms", "launches", "iterations", "latency_ratio"), ""),
            "row 1 (line 2) is of lstm/native, which passed, and cells.csv has no latency of it.",
        ),
    ],
)
def test_cells_that_are_not_as_their_launches_make_them_are_refused(
    tmp_path: Path, medians_s: list[float], values: dict[str, Any], blanked: dict[str, str], message: str
) -> None:
    record, launches = timed("lstm", "native", *([median_s] * 3 for median_s in medians_s), **{**ALIKE, **values})
    folder = write_table(tmp_path, table(record, launches=launches))
    read_table(folder)
    edited(folder / "cells.csv", 0, **blanked)
    with pytest.raises(UsageError) as caught:
        read_table(folder)
    assert message in str(caught.value)


def test_text_that_is_cut_short_is_told_by_its_file(tmp_path: Path) -> None:
    folder = write_table(tmp_path, with_launches())
    path = folder / "launches.csv"
    path.write_text(path.read_text()[:-3])
    with pytest.raises(UsageError, match=r"launches\.csv: cut short"):
        read_table(folder)


T = TypeVar("T")
samples = st.lists(st.floats(1e-6, 10), min_size=2, max_size=9)


def near(bound: float) -> st.SearchStrategy[float]:
    """Figures of which some lie so near to a bound that a table's digits do not part them."""
    return st.one_of(st.floats(0, 4 * bound), st.floats(0.99 * bound, 1.01 * bound), st.just(bound))


conditions = st.fixed_dictionaries(
    {
        "busy_cores": st.none() | near(BUSY_CORES),
        "steady": st.sampled_from([True, False, None]),
        "gpu_use": st.sampled_from([None, "exclusive", "shared: python (pid 7)"]),
        "drift": st.none() | near(SPREAD) | near(SPREAD).map(lambda drift: -drift),
    }
)
apart = st.tuples(st.floats(1e-6, 10), near(SPREAD)).map(lambda pair: [[pair[0]] * 2, [pair[0] * (1 + pair[1])] * 2])


@given(st.lists(samples, min_size=1, max_size=4) | apart, conditions)
@settings(max_examples=300, deadline=None)
def test_what_the_bench_makes_of_launches_is_what_the_table_makes_of_their_rows(
    made: list[list[float]], values: dict[str, Any]
) -> None:
    """From 1 microsecond to 10 s a call, whatever digits a table leaves out."""
    record, launches = timed("lstm", "native", *made, **values)
    rows = [_back(Record, record)], [_back(Launch, each) for each in launches]
    check_table(table(*rows[0], launches=rows[1]), with_launches=True, folder=Path("somewhere"), remedy="")


def _back(kind: type[T], row: T) -> T:
    return parse_rows(kind, *split_rows(format_rows(kind, [row]), where="", remedy=""), where="", remedy="")[0]
