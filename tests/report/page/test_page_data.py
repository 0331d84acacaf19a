"""The data of the page, and how it stands in the page."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.page import pairs, texts
from harness.report.page.data import natural
from harness.report.page.rendering import as_json, policy, render
from harness.report.page.texts import LONGEST_TEXT, harmless, plain_number
from tests.report.page.pages import data_of, hostile_tables, many_cells, small_tables
from tests.tables.samples import MACHINE, passed, table

EXPECTED = Path(__file__).parent / "expected" / "data.json"


def test_the_data_of_a_few_cells() -> None:
    made = json.dumps(data_of(small_tables()), indent=1, ensure_ascii=False) + "\n"
    assert made == EXPECTED.read_text(encoding="utf-8"), "write it anew by `python -m tests.report.page.renew`"


def test_equal_tables_make_equal_bytes_in_whatever_order() -> None:
    assert render(data_of(small_tables())) == render(data_of(reversed(small_tables())))


def test_the_only_time_is_that_of_the_newest_table() -> None:
    data = data_of(small_tables())
    assert data["newest"] == "2026-02-02T12:00:00Z"


def test_the_newest_complete_table_stands_for_its_series() -> None:
    incomplete = table(passed("a", "native"), missing=[("a", "tflite")], started="2026-03-01T00:00:00Z")
    whole = table(passed("a", "native"), started="2026-02-01T00:00:00Z")
    older = table(passed("a", "native"), started="2026-01-01T00:00:00Z")
    told = {each["started"]: each["current"] for each in data_of([incomplete, whole, older])["tables"]}
    assert told == {incomplete.run.started: False, whole.run.started: True, older.run.started: False}


def test_combinations_come_by_their_numbers() -> None:
    assert sorted(["torch2.10", "torch2.9", "torch2.1", "ambient"], key=natural) == [
        *("ambient", "torch2.1", "torch2.9", "torch2.10")
    ]


@pytest.mark.parametrize("limit", [("MOST_PAIRS", 10), ("MOST_COMPARED", 20)])
def test_beyond_some_tables_only_what_people_ask_for_is_compared(
    monkeypatch: pytest.MonkeyPatch, limit: tuple[str, int]
) -> None:
    tables = [
        table(passed("a", "native"), combination=name, started=f"2026-01-{day:02}T00:00:00Z")
        for name in ("torch2.0", "torch2.1")
        for day in (1, 2, 3)
    ]
    assert len(data_of(tables)["pairs"]) == 6 * 5
    monkeypatch.setattr(pairs, *limit)
    # Each run with the next of its combination, and the newest of both with each other.
    assert set(data_of(tables)["pairs"]) == {"0>1", "1>2", "3>4", "4>5", "2>5", "5>2"}


def test_tables_of_two_devices_are_not_compared() -> None:
    two = [table(passed("a", "native")), table(passed("a", "native", device="cuda"), device="cuda")]
    assert data_of(two)["pairs"] == {}


def _changes(values: list[float], **others: Any) -> list[dict[str, Any]]:
    tables = [
        table(passed("a", "native", latency_ms=value), started=f"2026-01-{day:02}T00:00:00Z", **others)
        for day, value in enumerate(values, start=1)
    ]
    return [each for each in data_of(tables)["changes"] if each["column"] == "latency_ms"]


def test_a_step_of_latency_is_a_change_point() -> None:
    (found,) = _changes([1.0, 1.01, 0.99, 1.0, 1.01, 1.5, 1.51, 1.49, 1.5, 1.51])
    assert (found["cell"], [place for place, *_ in found["points"]]) == ("torch2.0/a/native", [5])


def test_numbers_of_two_machines_have_no_change_point_between() -> None:
    values = [1.0, 1.01, 0.99, 1.0, 1.01, 1.5, 1.51, 1.49, 1.5, 1.51]
    other = replace(MACHINE, cores=8)
    tables = [
        table(
            passed("a", "native", latency_ms=value),
            started=f"2026-01-{day:02}T00:00:00Z",
            machine=MACHINE if day <= 5 else other,
        )
        for day, value in enumerate(values, start=1)
    ]
    assert data_of(tables)["changes"] == []


def test_memory_of_two_sources_has_no_change_point_between() -> None:
    def shown(source: str) -> list[dict[str, Any]]:
        tables = [
            table(
                passed("a", "native", rss_peak_mb=value, rss_source="clear_refs" if day <= 5 else source),
                started=f"2026-01-{day:02}T00:00:00Z",
            )
            for day, value in enumerate([100.0, 100.1, 99.9, 100.0, 100.1, 150.0, 150.1, 149.9, 150.0, 150.1], start=1)
        ]
        return [each for each in data_of(tables)["changes"] if each["column"] == "rss_peak_mb"]

    assert [place for (each,) in [shown("clear_refs")] for place, *_ in each["points"]] == [5]
    assert shown("own") == []


def test_what_had_moved_since_the_run_before_is_told_of_each_cell() -> None:
    before = table(passed("a", "native"), pins={"torch": "2.0.0"}, started="2026-01-01T00:00:00Z")
    after = table(passed("a", "native"), passed("b", "native"), pins={"torch": "2.1.0"}, started="2026-01-02T00:00:00Z")
    data = data_of([after, before])
    assert "moved" not in data["tables"][0]["cells"]
    moved = [None if each is None else data["texts"][each] for each in data["tables"][1]["cells"]["moved"]]
    assert moved == ["torch 2.0.0 → 2.1.0", None]


def test_a_cause_has_the_same_key_over_tables() -> None:
    tables = small_tables()
    alone, beside = ({each["key"] for each in data_of(some)["causes"]} for some in (tables[2:], tables))
    assert alone <= beside
    assert {"new-zeros-float-index"} <= alone
    assert all(re.fullmatch("[a-z0-9-]+", each["key"]) for each in data_of(hostile_tables())["causes"])


def test_what_counts_and_words_rest_on_is_told_of_each_outcome() -> None:
    told = {each.pop("name"): each for each in data_of(small_tables())["outcomes"]}
    assert told["passed"] == {"broken": False, "applicable": True, "staged": False}
    assert told["unresolvable"] == {"broken": True, "applicable": True, "staged": False}
    assert told["not-applicable"] == {"broken": False, "applicable": False, "staged": False}
    assert told["mismatched"] == {"broken": True, "applicable": True, "staged": True}


def test_what_was_carried_over_is_no_value_of_its_own() -> None:
    tables = [
        table(
            passed("a", "native", latency_ms=1.5 if day > 5 else 1.0 + day / 1000, carried_from="2026-01-05T00:00:00Z"),
            started=f"2026-01-{day:02}T00:00:00Z",
        )
        for day in range(1, 11)
    ]
    assert data_of(tables)["changes"] == []


@given(st.text())
def test_no_text_ends_the_element_that_the_data_stands_in(text: str) -> None:
    data = {"texts": [text, harmless(text)]}
    made = as_json(data)
    assert not re.search(r"[<>&\u2028\u2029]", made)
    assert json.loads(made) == data


@given(st.text())
def test_a_shown_text_has_nothing_that_acts(text: str) -> None:
    assert all(each == "\n" or each.isprintable() for each in harmless(text))


def test_a_long_text_is_cut_and_says_so() -> None:
    cut = harmless("x" * 10_000_000)
    assert len(cut) < LONGEST_TEXT + 100
    assert cut.endswith("… (9,996,000 more characters)")
    assert len(render(data_of(hostile_tables()))) < 1_000_000


def test_a_text_stands_in_the_data_once() -> None:
    found = texts.Texts()
    assert [found.of(each) for each in ("a", "b", "a", "", None)] == [0, 1, 0, None, None]
    assert found.values == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "told"), [(1.5, 1.5), (math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan"), (None, None)]
)
def test_a_number_that_json_has_not_is_a_word(value: float | None, told: float | str | None) -> None:
    assert plain_number(value) == told


def test_the_policy_allows_one_script_and_one_style_by_their_digests() -> None:
    said = policy("alert(1)", "p {}")
    assert said.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in said
    assert policy("alert(2)", "p {}") != said
    assert "http" not in said


def test_three_thousand_cells_are_less_than_five_megabytes() -> None:
    assert len(render(data_of(many_cells(60, 50))).encode()) < 5_000_000
