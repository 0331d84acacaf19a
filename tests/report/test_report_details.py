from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.report import figures as figures_module
from harness.report import markdown
from harness.report.causes import causes
from harness.report.figures import figures
from harness.report.terminal import comparison_lines, grid_lines, print_comparison
from harness.report.wording import detail, number, plain, state
from harness.tables.schema import Table
from harness.verdict.comparison import Comparison, compare
from harness.verdict.gate import judge
from tests.report import comparisons
from tests.tables.samples import failed, mismatched, passed, record, table

NASTY = "[bold]a|b[/bold] \x1b[31mred\x1b[0m `code` ```fence``` <b>html</b> :smile:\r\nsecond line"


def terminal(comparison: Comparison) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    print_comparison(console, comparison, judge(comparison))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def nasty() -> tuple[Table, Table]:
    return table(passed("m", "native")), table(failed("m", "native", error=NASTY))


def test_what_a_tool_printed_reaches_a_terminal_as_text_only() -> None:
    text = terminal(compare(*nasty()))
    assert "[bold]a|b[/bold]" in text
    assert ":smile:" in text
    assert "\x1b" not in text


def test_what_a_tool_printed_does_not_break_markdown() -> None:
    text = markdown.comparison(compare(*nasty()))
    assert "\n  ````text\n" in text
    row = next(line for line in markdown.grid(nasty()[1]).splitlines() if "failed at load" in line and "Fail" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    assert "<b>" not in row.replace("\\<", "")


def test_a_log_has_no_colour_and_no_trailing_blanks() -> None:
    for line in terminal(comparisons.mixed()).splitlines():
        assert line == line.rstrip()


def test_a_terminal_has_colour() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    print_comparison(console, comparisons.mixed(), judge(comparisons.mixed()))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith("\x1b[1;31mdo not merge")


@pytest.mark.parametrize("width", [1, 40, 80, 200])
def test_every_cell_is_named_at_any_width(width: int) -> None:
    text = " ".join(line.plain.strip() for line in comparison_lines(comparisons.mixed(), None, width=width))
    for name in ("embedding/onnx-torchscript:17", "lstm/manual-recreation", "gone/native"):
        assert name in text
    grid = [line.plain for line in grid_lines(comparisons.base_table(), width=width)]
    assert sum("resnet18" in line for line in grid) >= 1


def test_a_table_without_cells_is_a_grid_too() -> None:
    assert grid_lines(table(), width=80)[-1].plain == "no cells"
    assert "no cells" in markdown.grid(table())


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (passed("m", "s"), "passed"),
        (failed("m", "s"), "failed at load"),
        (record("m", "s", Outcome.TIMED_OUT, Stage.CONVERT), "timed out at convert"),
        (record("m", "s", Outcome.OUT_OF_MEMORY, Stage.EXECUTE), "out of memory at execute"),
        (record("m", "s", Outcome.UNRESOLVABLE, Stage.RESOLVE), "unresolvable"),
        (record("m", "s", Outcome.NOT_APPLICABLE, Stage.CONVERT), "not applicable"),
        (None, "no record"),
    ],
)
def test_states_in_words(made: Record | None, words: str) -> None:
    assert state(made) == words


def test_details_have_the_error_and_the_difference() -> None:
    assert (
        detail(mismatched("m", "s", error_type="Mismatch", error="1 probe"))
        == "Mismatch: 1 probe; output 0: off by 0.5"
    )
    assert detail(mismatched("m", "s", error="output 0: off by 0.5, more")) == "output 0: off by 0.5, more"
    assert detail(passed("m", "s")) == detail(None) == ""


def test_long_text_is_cut_with_a_mark() -> None:
    assert plain("a" * 600) == "a" * 499 + "…"
    assert plain("a\x00b\tc\n d") == "a b c d"


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1234"), (123.45, "123"), (12.345, "12.3"), (1.2345, "1.23"), (0.01234, "0.012")]
)
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


def test_one_cause_reads_once() -> None:
    names = ["a", "b", "c"]
    base = table(*(passed(name, "s") for name in names))
    candidate = table(failed("a", "s"), failed("b", "s"), failed("c", "s", fingerprint="other"))
    found = causes(compare(base, candidate).changes)
    assert [cause.cells for cause in found] == ["a/s, b/s", "c/s"]


def test_without_a_fingerprint_the_error_tells_causes_apart() -> None:
    base = table(*(passed(name, "s") for name in "abc"))
    errors = {"a": "one", "b": "one", "c": "two"}
    candidate = table(*(failed(name, "s", error=error, fingerprint=None) for name, error in errors.items()))
    assert [cause.cells for cause in causes(compare(base, candidate).changes)] == ["a/s, b/s", "c/s"]


def test_causes_of_two_sides_differ_where_either_side_does() -> None:
    base = table(failed("a", "s"), failed("b", "s", fingerprint="other"))
    candidate = table(failed("a", "s", Stage.CONVERT), failed("b", "s", Stage.CONVERT))
    assert [cause.cells for cause in causes(compare(base, candidate).changes)] == ["a/s", "b/s"]


def test_of_many_numbers_those_that_moved_most_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_module, "SHOWN", 2)
    base = table(*(passed(name, "s", latency_ms=1.0) for name in "abcd"))
    moved = {"a": 1.0, "b": 2.0, "c": 1.1, "d": 0.1}
    found = figures(compare(base, table(*(passed(name, "s", latency_ms=ms) for name, ms in moved.items()))))
    assert [row[0] for row in found.rows] == ["b/s", "d/s"]
    assert found.hidden == 2


def test_numbers_that_one_side_lacks_are_blank() -> None:
    base = table(passed("m", "s", latency_ms=None, relative_error=None, artifact_bytes=0))
    found = figures(compare(base, table(passed("m", "s"))))
    assert found.rows == (("m/s", "", "", "300 -> 300", "x1.00", "", ""),)


@pytest.mark.parametrize(
    ("base", "candidate", "words"),
    [
        (
            table(passed("m", "s")),
            table(failed("m", "s"), pins={}),
            "`harness run --python PYTHON_OF_ITS_ENVIRONMENT --m",
        ),
        (table(passed("m", "s")), table(passed("m", "s"), passed("n", "s")), "records what the base lacks"),
        (
            table(passed("m", "s")),
            table(passed("m", "s", model_digest="new")),
            "the same cells of the same model files",
        ),
        (table(), table(), "the same cells of the same model files"),
    ],
)
def test_what_to_do_next_fits_what_was_found(base: Table, candidate: Table, words: str) -> None:
    assert words in markdown.comparison(compare(base, candidate)).splitlines()[-1]


def test_many_differing_packages_are_counted() -> None:
    packages = {f"p{n:02}": "1" for n in range(40)}
    base = table(passed("m", "s"), packages=packages)
    text = terminal(compare(base, replace(base, run=replace(base.run, packages=dict.fromkeys(packages, "2")))))
    assert "Also differs: 40 installed packages\n" in text
    assert "and 10 more" in text
