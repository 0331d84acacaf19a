"""Memory in a verdict: what a limit of the policy fails on, and what launches could not tell of it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from harness.bench.record import Record
from harness.report.outlets.document import document, schema
from harness.report.shifts import memory_line, memory_lines, memory_told
from harness.report.wording import notes
from harness.verdict.comparison import Comparison, compare
from harness.verdict.gate import Decision, judge
from harness.verdict.policy import LATENCY_NOTE, GatePolicy, GateRule, Limits
from harness.verdict.shifts import Phase
from tests.tables.samples import table
from tests.verdict.test_verdict_shifts import MODELS, cell, launched, limited, sides


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"threads": 4}, "Latency and memory are left out: the runs had different numbers of threads, 2 and 4."),
        ({"driver": "550"}, "Latency and memory are left out: the machines differ: driver none and '550'."),
    ],
)
def test_between_machines_and_threads_no_limit_fails(conditions: dict[str, Any], said: str) -> None:
    found = sides(*((cell(m), cell(m, imported=900.0, latency_ms=99.0)) for m in "abc"), **conditions)
    assert (found.memory.cells, found.latency.cells) == ((), 0)
    told = judge(found, policy=limited(1.0))
    assert (told.decision, told.grown) == (Decision.MAY_MERGE, ())
    assert said in notes(found, told)
    assert "[gate] names memory_percent, and the memory of no cell that it is for can be compared." in told.notes


def test_memory_of_another_source_is_left_out() -> None:
    cells = [(cell(m), cell(m, imported=900.0, rss_source="PSS" if m == "a" else "VmRSS")) for m in "abcd"]
    found = sides(*cells)
    assert found.memory.left_out == {"the figures are of different sources: 'VmRSS' and 'PSS'": 1}
    assert {each.name for each in found.memory.cells} == {"b/native", "c/native", "d/native"}
    assert not [n for c in found.changes if c.model == "a" for n in c.numbers if n.quantity.value == "peak memory"]


def test_a_limit_holds_by_model_and_strategy() -> None:
    cells = [(cell(m), cell(m, imported=400.0)) for m in "abcd"]
    cells.append((cell("e", "onnx", provider="cpu"), cell("e", "onnx", provider="cpu", beyond=75.0)))
    found = sides(*cells)
    assert judge(found).decision is Decision.MAY_MERGE
    told = judge(found, policy=limited(10.0))
    assert (told.decision, told.exit_code) == (Decision.DO_NOT_MERGE, 1)
    assert told.reasons == ("memory of 5 cells grew by more than [gate] allows",)
    assert (
        "Memory grew: torch-cpu by 80 MiB in 4 cells alike, 23.9 % (limit 10 %): the package's, not your models'; "
        "e/onnx by 60 MiB, 17.9 % (limit 10 %)." in told.notes
    )
    assert told.notes[-1] == LATENCY_NOTE
    but = GateRule(strategies=("native",), limits=Limits(memory_percent=30.0))
    assert [each.memory.name for each in judge(found, policy=limited(10.0, but)).grown] == ["e/onnx"]
    only = GatePolicy(rules=(GateRule(models=("e",), limits=Limits(memory_percent=20.0)),), source="x.toml")
    assert judge(found, policy=only).decision is Decision.MAY_MERGE
    assert "for models e memory may grow 20 %" in " ".join(judge(found, policy=only).notes)


def test_a_peak_that_is_gone_leaves_a_limit_open() -> None:
    found = sides((cell("a"), cell("a", rss_peak_mb=None)), (cell("b"), cell("b")))
    assert judge(found).exit_code == 0
    told = judge(found, policy=limited(10.0))
    assert told.exit_code == 3
    assert told.reasons == ("1 cell had a peak of memory in the base and none now: a/native",)


def thrice(*cells: tuple[Record, Record]) -> Comparison:
    """Tables of these cells with three equal launches of each."""
    made = []
    for number, side in enumerate(zip(*cells, strict=True)):
        launches = [
            launch
            for each in side
            for launch in launched(
                each, *[(each.rss_import_mb or 0.0, each.rss_load_mb or 0.0, each.rss_peak_mb or 0.0)] * 3
            )
        ]
        made.append(table(*side, launches=launches, started=f"2026-01-3{number}T12:00:00Z"))
    return compare(*made)


def test_two_parts_that_are_no_shift_alone_may_be_one_together() -> None:
    found = thrice((cell("m", imported=200.0, beyond=200.0), cell("m", imported=207.9, beyond=215.7)))
    (own,) = found.memory.own
    assert own.cells[0].own_mb == {Phase.PEAK: pytest.approx(23.6)}
    assert memory_lines(found) == ["torch-cpu: 24 MiB more at the peak in 1 cell: m/native."]
    assert judge(found, policy=limited(10.0)).decision is Decision.MAY_MERGE
    told = judge(found, policy=limited(5.0))
    assert told.decision is Decision.DO_NOT_MERGE
    assert "Memory grew: m/native by 24 MiB, 5.9 % (limit 5 %)." in told.notes


def test_what_is_too_little_beyond_a_shared_shift_counts_for_the_limit_with_it() -> None:
    cells = [(cell(m), cell(m, imported=399.0)) for m in MODELS[:9]]
    cells.append((cell("m", beyond=580.0), cell("m", imported=399.0, beyond=615.0)))
    found = thrice(*cells)
    assert [(len(each.cells), round(each.difference_mb)) for each in found.memory.common] == [(10, 79)]
    assert not found.memory.own  # 35 MiB of 979 are less than 4 %
    policy = limited(30.0, GateRule(models=("m",), limits=Limits(memory_percent=10.0)))
    told = judge(found, policy=policy)
    assert told.decision is Decision.DO_NOT_MERGE
    assert "Memory grew: m/native by 114 MiB, 12.7 % (limit 10 %)." in told.notes


def single(more_mb: float) -> Comparison:
    """One launch a side of a cell that takes most of its memory beyond the import."""
    before = cell("m", imported=300.0, beyond=2000.0)
    return sides((before, cell("m", imported=300.0, beyond=2000.0 + more_mb)))


def test_figures_above_the_limit_that_launches_do_not_confirm_leave_it_open() -> None:
    found = single(580.0)
    assert not found.memory.own
    assert memory_line(found).endswith("no shift was found (1 cell, told from 26.1 %).")
    told = judge(found, policy=limited(15.0))
    assert (told.decision, told.exit_code) == (Decision.CANNOT_TELL, 3)
    (reason,) = told.reasons
    assert reason == (
        "launches do not tell whether memory of 1 cell grew that much: "
        "m/native by 580 MiB, 25.2 % (limit 15 %, told from 26.1 %)"
    )
    assert told.remedy == "run both sides with --launches 3, and gate these tables."
    assert judge(found).decision is Decision.MAY_MERGE
    assert judge(found, policy=limited(26.0)).decision is Decision.MAY_MERGE
    assert judge(single(620.0), policy=limited(15.0)).decision is Decision.DO_NOT_MERGE


def test_memory_as_plain_values_says_what_failed_and_what_was_found() -> None:
    cells = [(cell(m), cell(m, imported=400.0)) for m in "abcd"]
    cells.append((cell("e", "onnx", provider="cpu"), cell("e", "onnx", provider="cpu")))
    found = sides(*cells)
    but = GateRule(models=("a",), limits=Limits(memory_percent=30.0))
    verdict = judge(found, policy=limited(10.0, but))
    values = memory_told(found, verdict)
    assert (values.compared, values.none, values.left_out) == (5, "", ())
    assert [(each.cell, each.limit, each.fails) for each in values.cells] == [
        ("a/native", 0.3, False),
        ("b/native", 0.1, True),
        ("c/native", 0.1, True),
        ("d/native", 0.1, True),
    ]
    assert {round(each.found, 3) for each in values.cells} == {0.239}
    assert [(each.runtime, each.cells[0], each.import_mb) for each in values.common] == [
        ("torch-cpu", "a/native", 80.0)
    ]
    (open_cell,) = memory_told(single(580.0), judge(single(580.0), policy=limited(15.0))).cells
    assert (open_cell.fails, open_cell.open, open_cell.limit) == (False, True, 0.15)
    (free,) = memory_told(single(620.0), judge(single(620.0))).cells
    assert (free.fails, free.open, free.limit) == (False, False, None)
    text = document(found, verdict, None, file_of=lambda *_: "")
    jsonschema.validate(json.loads(text), json.loads(schema()))


def test_launches_that_differ_ask_for_more_of_them() -> None:
    one = cell("m")
    base = launched(one, *((60.0, 100.0, peak) for peak in (280.0, 300.0, 320.0)))
    more = launched(one, *((60.0, 100.0, peak) for peak in (300.0, 335.0, 340.0)))
    found = compare(table(one, launches=base), table(one, launches=more, started="2026-01-31T13:00:00Z"))
    told = judge(found, policy=limited(10.0))
    assert told.exit_code == 3
    assert "m/native by 35 MiB, 11.7 % (limit 10 %, told from 13.3 %)" in told.reasons[0]
    assert "--launches 6" in told.remedy


@pytest.mark.parametrize("more_mb", [0.0, 340.0])
def test_a_limit_that_launches_could_not_tell_is_said_where_the_figures_are_within_it(more_mb: float) -> None:
    told = judge(single(more_mb), policy=limited(15.0))
    assert told.decision is Decision.MAY_MERGE
    assert (
        "Launches tell no growth of memory as small as the limit: m/native (limit 15 %, told from 26.1 %). "
        "Run both sides with --launches 3." in told.notes
    )
    assert not any("as small as" in note for note in judge(single(more_mb), policy=limited(27.0)).notes)


def test_a_limit_of_less_than_counts_as_a_shift_is_said_and_leaves_nothing_open() -> None:
    small = (cell("m", imported=60.0, beyond=10.0), cell("m", imported=62.0, beyond=12.5))
    told = judge(thrice(small), policy=limited(5.0))
    assert told.decision is Decision.MAY_MERGE
    assert (
        "Memory that moves by less than 5 MiB, or 4 %, did not move, whatever the limit: "
        "m/native (limit 5 %, told from 7.1 %)." in told.notes
    )
