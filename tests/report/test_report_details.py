from __future__ import annotations

import io
import math
import re
import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.report import figures as figures_module
from harness.report import markdown
from harness.report.accuracy import accuracies, accuracy_changes
from harness.report.comment import comment
from harness.report.figures import figures
from harness.report.grids import breakages, success_rates
from harness.report.outlets.telling import of_table
from harness.report.shifts import latency_lines, memory_lines
from harness.report.terminal import comparison_lines, grid_lines, print_comparison
from harness.report.wording import (
    COMPACT_LEGEND,
    compact_text,
    detail,
    models_told,
    natives_line,
    number,
    package_text,
    plain,
    state,
)
from harness.tables.schema import Table
from harness.verdict.causes import causes
from harness.verdict.comparison import Comparison, compare
from harness.verdict.environments import PackageChange
from harness.verdict.gate import judge
from tests.report import comparisons
from tests.tables.samples import failed, mismatched, native, not_applicable, output, passed, record, table

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
    text = comment(compare(*nasty()))
    assert "\n  - now: ````Fail: [bold]a|b[/bold] red `code` ```fence``` <b>html</b> :smile: second line````\n" in text
    row = next(line for line in markdown.grid(nasty()[1]).splitlines() if "failed at load" in line and "Fail" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    assert "`<b>html</b>`" in row


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
    assert plain("a\x00b\tc\n d") == r"a\x00b c d"


@given(
    values=st.lists(st.text("ab/ '\"", min_size=1, max_size=60), min_size=1, max_size=30), length=st.integers(90, 240)
)
def test_models_that_have_no_room_are_left_out_whole_and_counted(values: list[str], length: int) -> None:
    told = models_told(shlex.join(values), length=length)
    assert len(told) <= length
    if more := re.fullmatch(r"(.*) and (\d+) more", told):
        kept = shlex.split(more[1])
        assert [" ".join(each.split()) for each in values[: len(kept)]] == [" ".join(each.split()) for each in kept]
        assert len(kept) + int(more[2]) == len(values)
    else:
        assert told == plain(shlex.join(values))


def test_models_that_nobody_could_have_given_are_told_all_the_same() -> None:
    assert models_told("'" + "x " * 10_000_000, length=200).endswith("x and 9999912 more")
    assert len(models_told("y" * 10_000_000, length=200)) == 200


def test_the_models_of_a_run_are_cut_between_two_of_them() -> None:
    models = " ".join(f"models/of-a-long-name-{number:02}.py" for number in range(20))
    told = of_table(table(passed("m", "native"), models=models)).labels["models"]
    assert told.endswith("models/of-a-long-name-05.py and 14 more")


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
    base = table(*(passed(name, "s", artifact_bytes=1000) for name in "abcd"))
    moved = {"a": 1000, "b": 2000, "c": 1100, "d": 100}
    found = figures(compare(base, table(*(passed(name, "s", artifact_bytes=size) for name, size in moved.items()))))
    assert [row[0] for row in found.rows] == ["d/s", "b/s"]
    assert (found.cells, found.hidden) == (4, 1)
    assert found.rest == (
        "Left out: 1 cell that moved less, 1 cell of which neither size nor error nor memory of their own moved."
    )


def test_no_ratio_of_latencies_heads_a_table_of_numbers() -> None:
    """Two calls of microseconds, one of them in a bad moment: x2018, and no evidence of anything."""
    base = table(passed("a", "s", latency_ms=0.001), passed("b", "s"))
    made = compare(base, table(passed("a", "s", latency_ms=2.018), passed("b", "s", artifact_bytes=1100)))
    assert [row[0] for row in figures(made).rows] == ["b/s"]
    assert latency_lines(made) == ["by 20 % or more: 1 slower of 2 cells."]
    text = comment(made, judge(made))
    assert "x2018" not in text
    assert "2.02" not in text


def test_a_relative_error_moved_where_it_rose_by_orders_above_rounding() -> None:
    errors = {"a": (1e-9, 9e-7), "b": (1e-7, 1e-5), "c": (2e-6, 1.9e-5), "d": (1e-5, 1e-9), "e": (0.0, 2e-6)}
    base, candidate = (table(*(passed(m, "s", relative_error=pair[n]) for m, pair in errors.items())) for n in (0, 1))
    assert [row[0] for row in figures(compare(base, candidate)).rows] == ["e/s", "b/s"]


def test_a_screenful_of_numbers_at_most() -> None:
    base = table(*(passed(f"m{n}", "s", artifact_bytes=1000) for n in range(60)))
    found = figures(compare(base, table(*(passed(f"m{n}", "s", artifact_bytes=2000) for n in range(60)))))
    assert (len(found.rows), found.hidden) == (25, 35)


def test_forty_cells_that_move_are_few_lines() -> None:
    """A runtime that takes memory by the size of the model: each cell by itself, and told in one line."""

    def side(share: float) -> Table:
        sizes = {f"m{n}": 20.0 + 10 * n for n in range(40)}
        return table(
            *(
                passed(model, "onnx", provider="cpu", rss_import_mb=60.0, rss_peak_mb=60.0 + share * size)
                for model, size in sizes.items()
            )
        )

    (line,) = memory_lines(compare(side(1.0), side(2.0)))
    assert line.startswith("cpu: 20 to 410 MiB more while running in 40 cells: m39/onnx, m38/onnx, ")
    assert line.endswith(" and 35 more.")


def test_numbers_that_one_side_lacks_are_blank() -> None:
    base = table(passed("m", "s", latency_ms=None, relative_error=None, artifact_bytes=0))
    found = figures(compare(base, table(passed("m", "s"))))
    assert found.rows == (("m/s", "", "", "300 -> 300", "x1.00", "", ""),)
    assert found.rest == ""


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
    assert words in comment(compare(base, candidate))


def test_many_differing_packages_are_counted() -> None:
    packages = {f"p{n:02}": "1" for n in range(40)}
    base = table(passed("m", "s"), packages=packages)
    text = terminal(compare(base, replace(base, run=replace(base.run, packages=dict.fromkeys(packages, "2")))))
    assert "Also differs: 40 installed packages\n" in text
    assert "and 10 more" in text


def grid_text_at(made: Table, *, width: int) -> list[str]:
    return [line.plain for line in grid_lines(made, width=width)]


def test_a_grid_fits_its_width_and_repeats_no_empty_model() -> None:
    strategies = [f"onnx-torchscript:{n}" for n in range(10, 32)]
    records = [passed(f"a-model-with-a-long-name-{n}", s) for n in range(40) for s in strategies[: n + 1]]
    lines = grid_text_at(table(*records), width=120)
    assert max(len(line) for line in lines) <= 120
    rows = [line for line in lines if line.startswith("a-model")]
    assert all("ok" in row for row in rows)
    assert COMPACT_LEGEND in lines
    assert sum(line.startswith("passed ") for line in lines) == sum(line.startswith("model ") for line in lines)


def test_a_grid_that_fits_has_whole_words() -> None:
    lines = grid_text_at(table(failed("m", "native"), passed("m", "s")), width=80)
    assert COMPACT_LEGEND not in lines
    assert "m       failed at load  ok 2.00 ms" in lines


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (passed("m", "s", latency_ms=12.34), "ok 12.3"),
        (passed("m", "s", latency_ms=None), "ok"),
        (failed("m", "s"), "at load"),
        (mismatched("m", "s"), "mismatched"),
        (record("m", "s", Outcome.TIMED_OUT, Stage.CONVERT), "timed out"),
        (record("m", "s", Outcome.UNRESOLVABLE, Stage.RESOLVE), "unresolvable"),
        (not_applicable("m", "s"), "n/a"),
        (None, "no record"),
    ],
)
def test_states_in_few_words(made: Record | None, words: str) -> None:
    assert compact_text(made) == words


def test_what_broke_in_one_way_is_one_entry_what_broke_most_first() -> None:
    made = table(
        passed("a", "native"),
        failed("a", "x", Stage.CONVERT),
        failed("b", "x"),
        failed("c", "y", error="with other words"),
        failed("d", "x", fingerprint="other"),
        failed("e", "x", fingerprint=None, error="one"),
        failed("f", "x", fingerprint=None, error="one"),
        failed("g", "x", fingerprint=None, error="two"),
        record("h", "x", Outcome.CRASHED, Stage.LOAD, fingerprint="f" * 8),
        not_applicable("i", "x"),
    )
    assert [found.names for found in breakages(made)] == [
        ("b/x", "c/y"),
        ("e/x", "f/x"),
        ("a/x",),
        ("d/x",),
        ("g/x",),
        ("h/x",),
    ]


def test_a_success_rate_is_of_what_can_exist() -> None:
    made = table(
        passed("a", "x"),
        failed("b", "x"),
        mismatched("c", "x"),
        not_applicable("d", "x"),
        not_applicable("a", "never"),
        record("a", "lost", Outcome.UNRESOLVABLE, Stage.RESOLVE),
        *(passed(f"m{n}", "most") for n in range(999)),
        failed("a", "most"),
        missing=[("z", "x"), ("z", "unrecorded")],
    )
    found = {strategy: (str(rate), rate.percent) for strategy, rate in success_rates(made).items()}
    assert found == {
        "x": ("1/3", "33 %"),
        "never": ("n/a", ""),
        "lost": ("0/1", "0 %"),
        "most": ("999/1000", "99 %"),
    }


def test_markdown_grids_are_parted_evenly() -> None:
    text = markdown.grid(table(*(passed("m", f"s:{n}") for n in range(20))))
    headers = [line for line in text.splitlines() if line.startswith("| model ")]
    assert [line.count("`s:") for line in headers] == [7, 7, 6]


def labelled(strategy: str, converted: float | None, before: float | None = 0.98) -> Record:
    return passed("digits", strategy, accuracy_native=before, accuracy_converted=converted)


def test_accuracies_name_the_strategies_that_keep_them_and_those_that_lose() -> None:
    kept = [labelled(f"s:{n}", 0.98) for n in range(6)]
    found = accuracies(table(*kept, labelled("lossy", 0.5), labelled("unknown", None), passed("other", "native")))
    assert found.rows == (
        ("digits", "98.00 %", "98.00 %", "s:0, s:1, s:2, s:3, and 2 more"),
        ("digits", "98.00 %", "50.00 %", "lossy"),
    )
    assert accuracies(table(passed("other", "native"))).rows == ()


def test_accuracies_that_changed_are_shown_the_largest_change_first() -> None:
    base = table(labelled("a", 0.98), labelled("b", 0.98), labelled("c", 0.98), labelled("d", None))
    candidate = table(labelled("a", 0.97), labelled("b", 0.5), labelled("c", 0.98), labelled("d", 0.98))
    found = accuracy_changes(compare(base, candidate))
    assert found.rows == (
        ("digits/b", "98.00 % -> 98.00 %", "98.00 % -> 50.00 %"),
        ("digits/a", "98.00 % -> 98.00 %", "98.00 % -> 97.00 %"),
    )
    assert found.rest == "Left out: 1 cell with the same accuracy."
    assert accuracy_changes(compare(base, base)).rest == "the same on both sides (3 cells)."
    assert "Accuracy on labelled data: the same on both sides (3 cells)." in terminal(compare(base, base))


def test_a_package_of_an_extension_is_named_with_it() -> None:
    change = PackageChange(name="onnx2tf", base="1.17.5", candidate="1.28.8", extension="tools")
    assert package_text(change) == "tools: onnx2tf 1.17.5 -> 1.28.8"
    assert package_text(PackageChange(name="jax", base=None, candidate="0.4")) == "jax absent -> 0.4"


def test_native_outputs_that_did_not_move_are_one_line() -> None:
    cells = [passed("a", "native"), passed("b", "native")]
    known = {"a": native(output(1.0)), "b": native(output(1.0))}
    base = table(*cells, natives=known)
    assert natives_line(compare(table(*cells), table(*cells))) == ""
    assert natives_line(compare(base, base)) == "Native outputs of 2 models: 2 same bits."
    rounded = table(*cells, natives={**known, "b": native(output(1.0 + 3e-7))})
    assert natives_line(compare(base, rounded)) == (
        "Native outputs of 2 models: 1 same bits, 1 moved within rounding. "
        "Within rounding: b; largest relative error 3.0e-07 (b)."
    )


def test_moved_native_outputs_stand_after_what_is_worse_and_before_what_is_better() -> None:
    base = table(passed("a", "s"), failed("b", "s"), natives={"a": native(output(1.0))})
    candidate = table(failed("a", "s"), passed("b", "s"), natives={"a": native(output(math.nan))})
    shown = (terminal(compare(base, candidate)), "Worse", "Moved native outputs")
    commented = (comment(compare(base, candidate)), "What breaks", "PyTorch itself computes something else")
    for text, worse, moved in (shown, commented):
        at = [text.index(words) for words in (worse, moved, "is NaN instead of finite", "Better")]
        assert at == sorted(at)
    assert "native output of 1 model moved" in comment(compare(base, candidate)).splitlines()[1]
