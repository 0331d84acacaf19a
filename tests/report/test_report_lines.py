"""Commands in a terminal: however narrow it is, what is copied is the command."""

from __future__ import annotations

import shlex
import subprocess
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from harness.report.lines import Rows, continued, next_lines

NUMBERS = Rows(
    header=("cell", "latency (ms)", "ratio", "peak memory (MiB)", "ratio", "size ratio", "relative error"),
    rows=[
        ("vit/native", "1.23 -> 1.27", "x1.04", "363 -> 468", "x1.29", "x1.00", "0 -> 0"),
        ("data-dependent-if/onnx:17", "12345 -> 23456", "x201.80", "363 -> 468", "", "x1.00", "1.2e-07 -> 3.0e-06"),
    ],
)
EXPLAIN = "harness explain results/torch2.1/cpu-quick/20261122T103954Z/embedding-new-zeros/onnx-torchscript"


def read_by_a_shell(lines: list[str]) -> list[str]:
    """The words that a shell takes from these lines."""
    script = "set -- " + "\n".join(lines) + "\nprintf '%s\\0' \"$@\""
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def test_a_command_that_fits_a_line_is_never_parted() -> None:
    told = [line.plain for line in next_lines("`harness run torch2.1 --device cpu` runs all of it.", width=40)]
    assert told == ["Next:", "`harness run torch2.1 --device cpu` runs", "all of it."]


def test_a_command_that_fits_none_is_on_lines_of_its_own() -> None:
    told = [line.plain for line in next_lines(f"`{EXPLAIN}` shows all of it.", width=80)]
    assert told == [
        "Next:",
        "  harness explain \\",
        "results/torch2.1/cpu-quick/20261122T103954Z/embedding-new-zeros/onnx-torchscript",
        "shows all of it.",
    ]
    assert read_by_a_shell(told[1:3]) == EXPLAIN.split()


def test_an_option_stays_with_its_value() -> None:
    command = "harness run torch2.1 --models embedding-new-zeros --strategies onnx-torchscript --tier core --device cpu"
    assert continued(command, width=80) == [
        "  harness run torch2.1 --models embedding-new-zeros \\",
        "    --strategies onnx-torchscript --tier core --device cpu",
    ]


@pytest.mark.parametrize("width", [1, 40, 60, 80])
@pytest.mark.parametrize("words", [EXPLAIN.split(), ["harness", "run", "--path", "my code/" + "x" * 90, "-x", "it's"]])
def test_a_shell_reads_the_lines_of_a_command_as_one(words: list[str], width: int) -> None:
    assert read_by_a_shell(continued(shlex.join(words), width=width)) == words


@given(
    words=st.lists(st.text("ab/.-_=:+", min_size=1, max_size=90), min_size=1, max_size=8), width=st.integers(40, 120)
)
@settings(max_examples=200)
def test_no_line_of_a_command_is_too_wide_and_nothing_is_lost(words: list[str], width: int) -> None:
    lines = continued(shlex.join(["harness", *words]), width=width)
    assert all(cell_len(line) <= width for line in lines)
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == ["harness", *words]


def test_a_row_of_numbers_takes_two_lines_of_80_columns_and_one_where_it_fits() -> None:
    assert [line.plain for line in NUMBERS.lines(width=80)] == [
        "  cell",
        "                               peak memory         size",
        "      latency (ms)    ratio    (MiB)        ratio  ratio  relative error",
        "  vit/native",
        "      1.23 -> 1.27    x1.04    363 -> 468   x1.29  x1.00  0 -> 0",
        "  data-dependent-if/onnx:17",
        "      12345 -> 23456  x201.80  363 -> 468          x1.00  1.2e-07 -> 3.0e-06",
    ]
    assert [line.plain for line in NUMBERS.lines(width=105)][:2] == [
        "                                                      peak memory         size",
        "  cell                       latency (ms)    ratio    (MiB)        ratio  ratio  relative error",
    ]
    assert len(NUMBERS.lines(width=None)) == 1 + len(NUMBERS.rows)


CELLS = st.text("ab1 .>-", max_size=30).map(str.strip)


@given(
    rows=st.lists(st.tuples(*[CELLS] * 4), min_size=1, max_size=5),
    header=st.tuples(*[st.text("abc ", min_size=1, max_size=20).map(str.strip)] * 4),
    width=st.integers(46, 140),
)
def test_no_line_of_a_table_is_too_wide_and_nothing_is_lost(
    rows: list[tuple[str, ...]], header: tuple[str, ...], width: int
) -> None:
    lines = [line.plain for line in Rows(header=header, rows=rows).lines(width=width)]
    assert all(cell_len(line) <= width for line in lines)
    told = Counter("".join(lines).replace(" ", ""))
    assert Counter("".join(cell for row in rows for cell in row).replace(" ", "")) <= told
