"""Text that acts, hides or pretends is only text afterwards, and a table's cells are no formulas."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.text import neutral, one_line, original, printable

# Arbitrary text seldom has what is looked for in it.
HARMFUL = st.lists(
    st.one_of(
        st.text(max_size=10),
        st.sampled_from(
            [
                "\x1b[31m",
                "\x1b]0;t\x07",
                "\x9b2J",
                "\x9d8;;x\x9c",
                "\x1b",
                "\x00",
                "\u202e",
                "\u2066",
                "\u200b",
                "\ufe0f",
            ]
        ),
        st.sampled_from(["\ufe0f", "\r\n", "\x85", "\u2028", "\t", "\ud800", "=", "'=", ";", "; -", "@", "'"]),
    )
).map("".join)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("größer – “x” → 数 🎉", "größer – “x” → 数 🎉"),
        ("a\x1b[1;31mred\x1b[0m", "ared"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://x.invalid\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9d52;c;aGk=\x9ctext", "text"),
        ("\x1bP1$r\x1b\\text", "text"),
        ("\x1b(0text", "text"),
        ("\x1bcreset", r"\x1bcreset"),
        ("\x1b]0;no end", r"\x1b]0;no end"),
        ("\x1b\x1b[31m[31mx", r"\x1b[31mx"),
        ("a\x00b\x07\x7f", r"a\x00b\x07\x7f"),
        ("a\tb\u00a0c\u3000d", "a b c d"),
        ("a\r\nb\rc\x0bd\x85e\u2028f", "a\nb\nc\nd\ne\nf"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("\u2066a\u2069\u200e\u200f\u061c", r"\u2066a\u2069\u200e\u200f\u061c"),
        ("a\u200bb\ufeff\u00ad\u2060", r"a\u200bb\ufeff\xad\u2060"),
        ("\u3164\ufe0f\u2800\U000e0100", r"\u3164\ufe0f\u2800\U000e0100"),
        ("\U000e0041", r"\U000e0041"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_acts_or_hides_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(text=HARMFUL)
def test_printable_text_is_printable_and_stays_so(text: str) -> None:
    shown = printable(text)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert not {unicodedata.category(c) for c in shown} & {"Cf", "Cs", "Cn", "Co", "Zl", "Zp"}
    assert not {"\u3164", "\ufe0f", "\u2800"} & set(shown)
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert printable(shown) == shown


@given(text=HARMFUL)
def test_one_line_is_one(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert line == " ".join(line.split(" "))
    assert line == line.strip()


@given(text=st.text(alphabet=st.characters(max_codepoint=126, min_codepoint=32)))
def test_plain_text_is_as_it_was(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(0)", "'=HYPERLINK(0)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", " '=1"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("x;=1+1", "x;'=1+1"),
        ("values differ; -0.4", "values differ; '-0.4"),
        ("a = 1", "a = 1"),
        ("'quoted'", "'quoted'"),
        ("", ""),
    ],
)
def test_a_formula_is_text_to_a_spreadsheet(text: str, cell: str) -> None:
    assert neutral(text) == cell
    assert original(cell) == text


@given(text=HARMFUL)
def test_no_cell_starts_a_formula_and_every_cell_comes_back(text: str) -> None:
    cell = neutral(text)
    assert not any(field.lstrip()[:1] in set("=+-@") for field in cell.split(";") if field.strip())
    assert original(cell) == text
