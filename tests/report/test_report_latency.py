"""Which latencies are to be taken with care, and how it is told."""

from __future__ import annotations

from dataclasses import replace

from harness.bench.latency import QUALITIES
from harness.report.latency import care_legend, care_note, doubts_in
from harness.verdict.comparison import compare
from tests.report import comparisons
from tests.tables.samples import passed


def test_every_word_of_the_column_has_its_meaning_and_a_remedy() -> None:
    told = care_legend([passed("a", "native", latency_quality=", ".join(QUALITIES))])
    assert all(f"1 {word} (" in told for word in QUALITIES)
    assert told.count(": ") == 2 + len(QUALITIES)


def test_a_word_of_another_harness_is_counted_too() -> None:
    told = care_legend([passed("a", "native", latency_quality="hot, busy"), passed("b", "native")])
    assert told.startswith("~ (1 cell): latency to be taken with care: 1 busy (")
    assert told.endswith(", 1 hot.")


def test_nothing_is_said_where_nothing_speaks_against_a_latency_or_there_is_none() -> None:
    assert doubts_in([None, passed("a", "native")]) == []
    assert care_legend([passed("a", "native")]) == ""
    untimed = passed("a", "native", latency_ms=None, launches=None, iterations=None, latency_quality="busy")
    assert care_legend([untimed]) == ""
    assert care_note(comparisons.clean()) == ""


def test_of_latencies_that_are_left_out_nothing_is_said() -> None:
    base, candidate = comparisons.doubtful().tables
    assert "care" in care_note(compare(base, candidate))
    assert "care" in care_note(compare(candidate, base))
    elsewhere = replace(candidate, run=replace(candidate.run, threads=2))
    assert care_note(compare(base, elsewhere)) == ""
