"""Latency in a verdict: what a duel confirmed fails by the policy's limits, and what it left open is said."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.duel import deciding
from harness.duel.deciding import CellDecision
from harness.report.comment import comment
from harness.report.duelled import duelled_rest, duelled_rows, latency_told
from harness.report.next_steps import next_step
from harness.report.outlets.document import document, schema
from harness.report.shifts import REST_LATENCY_TITLE
from harness.report.terminal import comparison_lines
from harness.report.wording import notes
from harness.verdict.comparison import Comparison, compare
from harness.verdict.duelled import Cell, Duelled
from harness.verdict.gate import Decision, Verdict, judge
from harness.verdict.policy import MEMORY_NOTE, GatePolicy, GateRule, Limits
from tests.tables.samples import failed, passed, table

SLOWER, FASTER = deciding.Decision.SLOWER, deciding.Decision.FASTER
EQUAL, INCONCLUSIVE = deciding.Decision.EQUAL, deciding.Decision.INCONCLUSIVE

TEN = GatePolicy(limits=Limits(latency_percent=10.0), source="x.toml")


def cell(decision: deciding.Decision, effect: float = 0.0, **values: Any) -> CellDecision:
    given: dict[str, Any] = {
        "lower": effect - 0.01,
        "upper": effect + 0.01,
        "pairs": 12,
        "look": 12,
        "slower_than": 0.10,
        "equal_within": 0.10,
        "reason": "undecided after all 48 pairs" if decision is INCONCLUSIVE else "",
    }
    p = dict.fromkeys(("p_slower", "p_faster", "p_equal", "q_slower", "q_faster"), 0.5)
    return CellDecision(decision=decision, effect=effect, next_look=None, **{**p, **given, **values})


def duelled(cells: dict[Cell, CellDecision], **values: Any) -> Duelled:
    return Duelled(cells=cells, machine="a CPU, 2 cores, 24 GiB", pairs=36, seconds=90.0, **values)


def compared(*models: str) -> Comparison:
    records = [passed(model, "onnx") for model in models]
    return compare(table(*records), table(*records, started="2026-02-01T12:00:00Z"))


ABC = {("a", "onnx"): cell(SLOWER, 0.15), ("b", "onnx"): cell(EQUAL, 0.01), ("c", "onnx"): cell(INCONCLUSIVE, 0.09)}


def of(cells: dict[Cell, CellDecision], policy: GatePolicy = TEN, **values: Any) -> Verdict:
    return judge(compared("a", "b", "c"), policy=policy, duelled=duelled(cells, **values))


def test_what_is_slower_than_the_policy_allows_fails_with_its_effect_and_the_limit() -> None:
    verdict = of(ABC)
    assert (verdict.decision, verdict.exit_code) == (Decision.DO_NOT_MERGE, 1)
    assert verdict.reasons == ("1 cell slower than [gate] allows",)
    assert [each.name for each in verdict.slower] == ["a/onnx"]
    said = "\n".join(verdict.notes)
    assert "Slower than [gate] allows: a/onnx by 15.0 % (14.0 to 16.0 %) (limit 10 %)." in said
    assert "a duel of 3 cells: 1 slower, 0 faster, 1 equal, 1 inconclusive; 36 pairs in 1.5 minutes" in said
    assert "raise latency_percent in [gate] where a/onnx may take that long" in next_step(compared("a"), verdict)


def test_inconclusive_cells_are_counted_and_leave_the_verdict_open_only_where_the_policy_asks() -> None:
    cells = {**ABC, ("a", "onnx"): cell(EQUAL)}
    verdict = of(cells)
    assert verdict.exit_code == 0
    assert verdict.reasons[-1] == (
        "none of 2 cells found slower than [gate] allows, the latency of 1 cell inconclusive"
    )
    assert "Latency inconclusive, undecided after all 48 pairs: c/onnx." in verdict.notes
    strict = GatePolicy(limits=Limits(latency_percent=10.0), latency_must_be_told=True)
    asked = of(cells, strict)
    assert (asked.decision, asked.exit_code) == (Decision.CANNOT_TELL, 3)
    assert "the latency of 1 cell is inconclusive, and [gate] asks for it: c/onnx" in asked.reasons
    assert "a quieter machine" in asked.remedy
    assert of(ABC, strict).exit_code == 1  # what is worse outweighs it
    assert of({key: cell(EQUAL) for key in ABC}, strict).exit_code == 0


def test_a_cell_that_could_not_be_timed_is_inconclusive_with_the_reason() -> None:
    untimed = {("c", "onnx"): "torch2.1: failed at load"}
    cells = {("a", "onnx"): cell(EQUAL), ("b", "onnx"): cell(EQUAL)}
    verdict = of(cells, untimed=untimed)
    assert verdict.exit_code == 0
    assert "Latency inconclusive, torch2.1: failed at load: c/onnx." in verdict.notes
    strict = GatePolicy(limits=Limits(latency_percent=10.0), latency_must_be_told=True)
    assert of(cells, strict, untimed=untimed).exit_code == 3


REMEDIES = {
    "cut": "give the duel more time (--duel-budget), on a quiet machine: it goes on from the pairs that it has.",
    "fell out": "find out why a process of a/onnx did not come through its pairs: the notes say which.",
    "all pairs": "gate again on a quieter machine, or raise the latency_percent of a/onnx.",
    "untimed": "mend what keeps a/onnx from being timed: the notes say what.",
    "unmeasured": "`harness duel torch2.0 torch2.0` measures what this machine can tell of a/onnx.",
    "not like itself": "raise the latency_percent of a/onnx to what this machine can tell, or gate on a quieter one.",
    "coarse": "raise the latency_percent of a/onnx to what this machine can tell, or gate on a quieter one.",
}


@pytest.mark.parametrize("why", REMEDIES)
def test_what_to_do_goes_by_what_left_a_cell_open(why: str) -> None:
    key = ("a", "onnx")
    policy = GatePolicy(limits=Limits(latency_percent=1.5), latency_must_be_told=True)
    bound = 0.015 if why in ("cut", "fell out", "all pairs") else 0.02
    decision = INCONCLUSIVE if bound < 0.02 or why == "not like itself" else EQUAL
    open_cell = cell(decision, slower_than=bound, equal_within=bound)
    found = duelled(
        {} if why == "untimed" else {key: open_cell},
        untimed={key: "torch2.1: failed at load"} if why == "untimed" else {},
        cut=frozenset({key} if why == "cut" else ()),
        fell_out=frozenset({key} if why == "fell out" else ()),
        unmeasured=frozenset({key} if why == "unmeasured" else ()),
        sides=("torch2.0", "torch2.1"),
    )
    verdict = judge(compared("a"), policy=policy, duelled=found)
    assert (verdict.exit_code, verdict.remedy) == (3, REMEDIES[why])


def test_what_to_do_names_each_thing_that_left_cells_open() -> None:
    strict = GatePolicy(limits=Limits(latency_percent=10.0), latency_must_be_told=True)
    cells = {**ABC, ("a", "onnx"): cell(INCONCLUSIVE, reason="the budget was spent")}
    verdict = of(cells, strict, cut=frozenset({("a", "onnx")}))
    assert "more time" in verdict.remedy
    assert "raise the latency_percent of c/onnx" in verdict.remedy


def test_without_a_limit_slower_cells_are_told_and_fail_nothing() -> None:
    verdict = of(ABC, GatePolicy())
    assert verdict.exit_code == 0
    assert "Slower, and no latency_percent of [gate] is for it: a/onnx by 15.0 % (14.0 to 16.0 %)." in verdict.notes
    assert verdict.notes[-1] == MEMORY_NOTE
    assert not any("Latency does not decide" in note or "Latency and memory do not" in note for note in verdict.notes)


def test_the_last_rule_that_covers_a_cell_and_names_a_limit_counts() -> None:
    policy = GatePolicy(
        limits=Limits(latency_percent=10.0), rules=(GateRule(models=("a",), limits=Limits(latency_percent=20.0)),)
    )
    cells = {("a", "onnx"): cell(EQUAL, 0.15, slower_than=0.2, equal_within=0.2), ("b", "onnx"): cell(SLOWER, 0.12)}
    verdict = judge(compared("a", "b"), policy=policy, duelled=duelled(cells))
    assert [each.name for each in verdict.slower] == ["b/onnx"]


@pytest.mark.parametrize("asked", [False, True])
def test_a_cell_that_is_equal_within_more_than_its_limit_is_open(asked: bool) -> None:
    policy = GatePolicy(limits=Limits(latency_percent=1.0), latency_must_be_told=asked)
    coarse = cell(EQUAL, 0.015, slower_than=0.02, equal_within=0.02)
    cells = {("a", "onnx"): coarse, ("b", "onnx"): cell(EQUAL, slower_than=0.01, equal_within=0.01)}
    verdict = judge(compared("a", "b"), policy=policy, duelled=duelled(cells))
    assert verdict.exit_code == (3 if asked else 0)
    if asked:
        assert "the latency of 1 cell is inconclusive, and [gate] asks for it: a/onnx" in verdict.reasons
    else:
        assert verdict.reasons[-1].startswith("none of 1 cell found slower than [gate] allows, the latency of 1 cell")
    assert "Latency inconclusive, equal within 2 % where 1 % are allowed: a/onnx." in verdict.notes
    assert "This machine does not tell as little as the limit: a/onnx (limit 1 %, told from 2 %)." in verdict.notes
    assert not any("as little as" in note or "are allowed" in note for note in of(ABC).notes)


def test_where_there_could_be_no_duel_nothing_was_told_unless_something_is_worse_anyhow() -> None:
    none = Duelled(none="the environment of torch2.0 cannot be had", remedy="mend that, and gate again.")
    verdict = judge(compared("a"), policy=TEN, duelled=none)
    assert (verdict.exit_code, verdict.remedy) == (3, "mend that, and gate again.")
    assert verdict.reasons == ("no latency was told: the environment of torch2.0 cannot be had",)
    broken = compare(table(passed("a", "onnx")), table(failed("a", "onnx"), started="2026-02-01T12:00:00Z"))
    assert judge(broken, policy=TEN, duelled=none).exit_code == 1


def test_reports_have_the_cells_that_are_not_equal_and_count_the_others() -> None:
    verdict = of(ABC)
    assert verdict.duelled is not None
    text = "\n".join(line.plain for line in comparison_lines(compared("a", "b", "c"), verdict, width=100))
    assert "Latency, by a duel" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["a/onnx", "slower", "+15.0", "%", "+14.0", "%", "to", "+16.0", "%", "12"] in lines
    assert "equal within 10 % (1 cell): b/onnx." in text
    assert "Latency between two runs" not in text
    told = comment(compared("a", "b", "c"), verdict)
    assert "| `a/onnx` | slower | +15.0 % | +14.0 % to +16.0 % | 12 |" in told


def test_a_duel_as_plain_values_says_of_each_cell_what_the_policy_makes_of_it() -> None:
    verdict = of(ABC, untimed={("d", "onnx"): "torch2.1: failed at load"})
    values = latency_told(verdict)
    assert values is not None
    assert [(each.cell, each.decision.value, each.limit, each.fails, each.open) for each in values.cells] == [
        ("a/onnx", "slower", 0.1, True, False),
        ("c/onnx", "inconclusive", 0.1, False, True),
        ("b/onnx", "equal", 0.1, False, False),
    ]
    assert [asdict(each) for each in values.untimed] == [
        {"cell": "d/onnx", "reason": "torch2.1: failed at load", "limit": 0.1, "fails": False, "open": True}
    ]
    free = latency_told(of(ABC, GatePolicy()))
    assert free is not None
    assert {(each.limit, each.fails, each.open) for each in free.cells} == {(None, False, False)}
    assert latency_told(judge(compared("a"))) is None
    text = document(compared("a", "b", "c"), verdict, None, file_of=lambda *_: "")
    jsonschema.validate(json.loads(text), json.loads(schema()))


def test_cells_without_a_pair_share_a_line_a_reason() -> None:
    spent = "the budget of 3 minutes was spent (preparing and converting took 2.9) after 0 of 48 pairs"
    without = cell(INCONCLUSIVE, pairs=0, reason=spent)
    cells = {**ABC, ("c", "onnx"): without, ("d", "onnx"): without}
    told = duelled(cells, untimed={("e", "onnx"): "torch2.1: failed at load"})
    assert [each[0] for each in duelled_rows(told)] == ["a/onnx"]
    assert duelled_rest(told, table().run)[1:] == [
        f"not timed (2 cells), {spent}: c/onnx, d/onnx.",
        "not timed (1 cell), torch2.1: failed at load: e/onnx.",
    ]


def test_cells_of_no_known_threshold_are_told_with_what_measures_it() -> None:
    some = frozenset({("a", "onnx"), ("b", "onnx")})
    verdict = of(ABC, unmeasured=some, sides=("torch2.0", "torch2.1"))
    line = (
        "2 cells of no known threshold on this machine: 2 % is taken "
        "(`harness duel torch2.0 torch2.0 --tier quick --device cpu` measures it)."
    )
    assert line in comment(compared("a", "b", "c"), verdict)
    assert line in [each.plain.strip() for each in comparison_lines(compared("a", "b", "c"), verdict, width=200)]
    values = latency_told(verdict)
    assert values is not None
    assert values.unmeasured == ("a/onnx", "b/onnx")
    assert "threshold" not in comment(compared("a", "b", "c"), of(ABC))


def test_what_is_to_be_done_about_doubtful_latencies_is_not_said_where_a_duel_told_them() -> None:
    doubtful = [passed(model, "onnx", latency_quality="busy") for model in "abc"]
    comparison = compare(table(*doubtful), table(*doubtful, started="2026-02-01T12:00:00Z"))
    assert "to be taken with care" in "".join(notes(comparison, judge(comparison)))
    assert "to be taken with care" not in "".join(notes(comparison, judge(comparison, duelled=duelled(ABC))))
    some = judge(comparison, duelled=duelled({("a", "onnx"): ABC["a", "onnx"]}))
    assert "Of 2 of the 2 cells that pass on both sides and were not timed by the duel" in "".join(
        notes(comparison, some)
    )


def test_what_tables_say_of_latency_stays_for_cells_that_no_duel_told() -> None:
    models = ("a", "b", "c", "d")
    sides = [[passed(model, "onnx", provider="cpu", latency_ms=ms) for model in models] for ms in (2.0, 3.0)]
    comparison = compare(table(*sides[0]), table(*sides[1], started="2026-02-01T12:00:00Z"))
    cells = {("a", "onnx"): cell(SLOWER, 0.5), ("b", "onnx"): cell(INCONCLUSIVE, pairs=0, lower=None, upper=None)}
    verdict = judge(comparison, duelled=duelled(cells))
    for told in (
        "\n".join(line.plain for line in comparison_lines(comparison, verdict, width=100)),
        comment(comparison, verdict),
    ):
        assert REST_LATENCY_TITLE in told
        assert "cpu: x1.50 in the middle of 3 cells" in told
        assert "3 slower of 3 cells" in told
    everywhere = judge(comparison, duelled=duelled(dict.fromkeys(((model, "onnx") for model in models), cell(EQUAL))))
    assert "Latency between two runs" not in comment(comparison, everywhere)
    assert "Latency between two runs: not evidence" in comment(comparison, judge(comparison))


def test_tables_whose_latency_is_left_out_do_not_take_back_what_a_duel_told() -> None:
    cells = [passed(model, "onnx") for model in "abc"]
    comparison = compare(table(*cells), table(*cells, threads=1, started="2026-02-01T12:00:00Z"))
    why = "the runs had different numbers of threads, 2 and 1."
    assert f"Latency and memory are left out: {why}" in notes(comparison, judge(comparison))
    told = notes(comparison, judge(comparison, duelled=duelled(ABC)))
    assert f"Latency and memory of the tables, not what the duel timed, are left out: {why}" in told


@given(
    decisions=st.lists(st.sampled_from(list(deciding.Decision)), min_size=3, max_size=3),
    limit=st.sampled_from([None, 5.0]),
    asked=st.booleans(),
)
def test_a_duel_fails_a_verdict_exactly_where_a_cell_with_a_limit_is_slower(
    decisions: list[deciding.Decision], limit: float | None, asked: bool
) -> None:
    policy = GatePolicy(limits=Limits(latency_percent=limit), latency_must_be_told=asked)
    cells = {
        (model, "onnx"): cell(decision, slower_than=0.05, equal_within=0.05)
        for model, decision in zip("abc", decisions, strict=True)
    }
    code = of(cells, policy).exit_code
    if limit is not None and SLOWER in decisions:
        assert code == 1
    elif limit is not None and asked and INCONCLUSIVE in decisions:
        assert code == 3
    else:
        assert code == 0


@pytest.mark.parametrize("policy", [TEN, GatePolicy()])
def test_a_duel_of_nothing_is_no_evidence_and_no_lack_of_it(policy: GatePolicy) -> None:
    note = "Both tables are of one environment, so that a duel has nothing to tell."
    verdict = judge(compared("a"), policy=policy, duelled=Duelled(notes=(note,)))
    assert (verdict.exit_code, verdict.duelled and verdict.duelled.cells) == (0, {})
    assert note in verdict.notes
    assert not any("duel of 0 cells" in each for each in verdict.notes)
