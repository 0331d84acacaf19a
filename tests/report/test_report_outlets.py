"""What tools and users wrote is only text in every outlet: a table, a terminal, a comment on GitHub."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.bench.record import Record
from harness.bench.text import one_line
from harness.report import markdown
from harness.report.comment import comment
from harness.report.escaping import code, fenced, markdown_table, sentence, text
from harness.report.live import RunDisplay
from harness.report.terminal import print_comparison, print_grid
from harness.tables.rows import format_rows, parse_rows, split_rows
from harness.verdict.comparison import compare
from harness.verdict.gate import judge
from tests.report.hostile import HARMFUL, tables_of

MENTION = re.compile(r"@\w|#\d|\bGH-\d|\w+/\w+#\d|://|www\.|!\d|\b[0-9a-f]{7,40}\b")
"""What GitHub's filters look for in running text after Markdown has been rendered."""


class _Rendered(HTMLParser):
    """What a renderer made: the elements, and the text outside code."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.running = ""
        self.shown = ""
        self.depth = 0
        self._code = 0
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self._code += tag in ("code", "pre")
        self.depth += tag == "details"

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "pre")
        self.depth -= tag == "details"

    def handle_comment(self, data: str) -> None:
        self.elements.add(f"comment {data}")

    def handle_data(self, data: str) -> None:
        self.shown += data
        self.running += " " if self._code else data


def rendered(source: str) -> _Rendered:
    """Markdown as GitHub's own renderer makes it, raw HTML too, before the filters that link and notify."""
    return _Rendered(cmarkgfm.github_flavored_markdown_to_html(source, Options.CMARK_OPT_UNSAFE))


def comments_of(harmful: str) -> list[str]:
    base, candidate = tables_of(harmful)
    comparison = compare(base, candidate)
    return [
        markdown.grid(candidate),
        comment(comparison),
        comment(comparison, judge(comparison)),
    ]


HARMLESS = {"p", "strong", "h3", "h4", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"}


@pytest.mark.parametrize("harmful", HARMFUL)
def test_a_comment_links_nothing_and_notifies_nobody(harmful: str) -> None:
    for shown in comments_of(harmful):
        found = rendered(shown)
        hidden = {element for element in found.elements if element.startswith("comment ")}
        assert found.elements - hidden <= HARMLESS | {"details", "summary"}
        assert len(hidden) <= 1
        assert all(re.fullmatch(r"comment  conversion-harness: [\w./+: -]+ ", each) for each in hidden)
        assert found.depth == 0
        assert not MENTION.search(found.running), found.running
        assert all(line.isprintable() for line in shown.split("\n"))


TEXTS = st.lists(st.sampled_from(HARMFUL) | st.text(max_size=12) | st.sampled_from([*"@#`|\\<>[]()!*_~$:&;/-=+\n "]))


@given(parts=TEXTS)
@settings(max_examples=150, deadline=None)
def test_no_text_comes_alive_in_a_comment(parts: list[str]) -> None:
    harmful = "".join(parts)
    sources = [text(harmful), code(harmful), sentence(harmful), fenced(harmful.split("\n")), f"- {text(harmful)}"]
    sources.append(markdown_table(("a", "b"), [(text(harmful), code(harmful))]))
    for source in sources:
        found = rendered(source)
        assert found.elements <= HARMLESS, source
        assert not MENTION.search(found.running), source
    row = rendered(sources[-1])
    assert {"table", "td"} <= row.elements


@given(parts=TEXTS)
@settings(max_examples=150, deadline=None)
def test_a_comment_shows_the_text_itself(parts: list[str]) -> None:
    harmful = "".join(parts)
    for source in (text(harmful), code(harmful), markdown_table(("",), [(code(harmful),)])):
        assert "".join(rendered(source).shown.split()) == "".join(one_line(harmful).split())


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("see @octocat.", "see `@octocat`."),
        ("(#123, org/repo#7)", "(`#123`, `org/repo#7`)"),
        ("at https://x.invalid/y?z=1", "at `https://x.invalid/y?z=1`"),
        ("[x](www.y.invalid)", r"\[`x](www.y.invalid`)"),
        ("<b>bold</b> & co", "`<b>bold</b>` `&` co"),
        ("a_b *c* | d", r"a\_b \*c\* \| d"),
        ("INVALID_GRAPH : 1e-04 at [0, 3]", r"INVALID\_GRAPH : 1e-04 at \[0, 3\]"),
        ("a ``b`` c", "a ``` ``b`` ``` c"),
        ("- item", r"\- item"),
        ("12. item", r"12\. item"),
        ("aten::grid_sampler failed:This is", r"aten::grid\_sampler failed:This is"),
        ("2026-11-21T10:00:27Z, 100 %", "2026-11-21T10:00:27Z, 100 %"),
        ("commit 6014bdc", "commit `6014bdc`"),
        ("one\ntwo\x1b[0m", "one two"),
    ],
)
def test_what_a_comment_is_written_as(value: str, source: str) -> None:
    assert text(value) == source


def test_a_sentence_keeps_its_commands() -> None:
    assert sentence("`harness run a_b` runs @octocat. See `x`.") == "`harness run a_b` runs `@octocat`. See `x`."
    assert sentence("run `harness run @all` now") == "run `harness run @all` now"


def _printed_on(*, terminal: bool, harmful: str) -> str:
    base, candidate = tables_of(harmful)
    console = Console(
        file=io.StringIO(), width=100, color_system="standard" if terminal else None, force_terminal=terminal
    )
    comparison = compare(base, candidate)
    print_grid(console, candidate)
    print_comparison(console, comparison, judge(comparison))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("harmful", HARMFUL)
def test_a_terminal_is_told_nothing_but_text(harmful: str) -> None:
    plain = _printed_on(terminal=False, harmful=harmful)
    assert all(line.isprintable() for line in plain.split("\n"))
    coloured = _printed_on(terminal=True, harmful=harmful)
    # The styles of our own are all that a terminal obeys.
    own = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert own == plain


@given(parts=TEXTS)
@settings(max_examples=30, deadline=None)
def test_no_text_reaches_a_terminal_as_more(parts: list[str]) -> None:
    assert all(line.isprintable() for line in _printed_on(terminal=False, harmful="".join(parts)).split("\n"))


def test_markup_is_shown_as_it_stands() -> None:
    assert "[bold red]markup[/]" in _printed_on(terminal=True, harmful="[bold red]markup[/]")


@pytest.mark.parametrize("harmful", HARMFUL)
def test_a_table_is_text_to_git_and_to_a_spreadsheet(harmful: str) -> None:
    _, candidate = tables_of(harmful)
    written = format_rows(Record, candidate.records)
    assert all(line.isprintable() for line in written.split("\n"))
    for row in csv.reader(io.StringIO(written)):
        assert not [field for field in row if re.search(r"(^|;)\s*[=+@-](?!\d[\d.e+-]*$)", field)]
    header, rows = split_rows(written, where="", remedy="")
    assert format_rows(Record, parse_rows(Record, header, rows, where="", remedy="")) == written


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("harmful", HARMFUL)
def test_what_is_told_while_a_run_goes_on_is_text(harmful: str, terminal: bool) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=terminal)
    with RunDisplay(console) as display:
        display.busy(harmful)
        display.begin("torch2.1", 2, {}, frozenset())
        display.started(harmful, "native")
        display.ended(harmful, "native", "failed", "load")
        display.note(harmful)
    assert isinstance(console.file, io.StringIO)
    # The live line moves the cursor and styles its words; nothing else may.
    own = re.sub(r"\x1b\[\??[0-9;]*[A-Zhlm]|\r", "", console.file.getvalue())
    assert all(line.isprintable() for line in own.split("\n"))


def test_on_a_narrow_terminal_each_cell_under_way_has_its_own_line() -> None:
    console = Console(file=io.StringIO(), width=80)
    display = RunDisplay(console)
    display.begin(
        "torch2.1",
        1000,
        {("mlp", str(nth)): "failed" if nth < 20 else "passed" for nth in range(520)},
        {("gru", str(nth)) for nth in range(3)},
    )
    for number in range(6):
        display.started(f"convnext-tiny-{number}", "onnx-torchscript:16-tensorflow")
    with console.capture() as capture:
        console.print(display.status())
    counts, *cells, more = capture.get().splitlines()
    assert counts == "torch2.1  520/1000 done  500 passed  20 failing  0 not applicable  3 to be timed"
    assert cells == [f"  convnext-tiny-{number}/onnx-torchscript:16-tensorflow 0 s" for number in range(4)]
    assert more == "  and 2 more"


def test_a_cell_that_is_taken_back_and_ends_again_counts_once() -> None:
    display = RunDisplay(Console(file=io.StringIO(), width=100))
    display.begin("torch2.1", 4, {("mlp", "a"): "passed", ("mlp", "b"): "passed"}, {("mlp", "native")})
    for outcome in ("passed", "failed"):  # the node that timed it first is lost
        display.timing("mlp", "native")
        display.ended("mlp", "native", outcome, "load")
    display.timing("mlp", "script")
    display.ended("mlp", "script", "passed", "measure")
    assert display.status().plain.splitlines()[0].startswith("torch2.1  4/4 done  3 passed  1 failing")


def test_a_combination_goes_on_where_it_was_after_its_environment_was_mended() -> None:
    console = Console(file=io.StringIO(), width=100)
    display = RunDisplay(console)
    display.begin("torch2.1", 3, {("mlp", "script"): "passed", ("mlp", "native"): "passed"}, frozenset())
    display.started("mlp", "native")
    display.ended("mlp", "native", "passed", "measure")
    display.busy("torch2.1: checking every file")
    assert display.status().plain.startswith("torch2.1: checking every file  0 s")
    display.started("mlp", "native")  # its record was taken back
    display.ended("mlp", "native", "failed", "load")
    assert display.status().plain.splitlines()[0].startswith("torch2.1  2/3 done  1 passed  1 failing")
    assert isinstance(console.file, io.StringIO)
    assert "[2/3] torch2.1/mlp/native: failed at load" in console.file.getvalue()


def test_cells_that_waited_and_are_taken_back_wait_once() -> None:
    display = RunDisplay(Console(file=io.StringIO(), width=120))
    cells = [("mlp", str(number)) for number in range(6)]
    display.begin("torch2.1", 10, {("gru", "native"): "unresolvable"}, set(cells[:2]))
    for cell in [*cells, *cells]:  # their environment had changed, and all of them ran again
        display.started(*cell)
        display.waiting(*cell)
    assert "1/10 done  0 passed  0 failing  0 not applicable  1 unresolvable  6 to be timed" in display.status().plain
    for cell in cells:
        display.timing(*cell)
        display.ended(*cell, "passed", "measure")
    assert "7/10 done  6 passed  0 failing" in display.status().plain
    assert "to be timed" not in display.status().plain
