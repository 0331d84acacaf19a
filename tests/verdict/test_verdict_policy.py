"""Gate policies: every category by every rule, and what a policy says of itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.matrix import matrixfile
from harness.tables.reading import read_table
from harness.tables.schema import Table
from harness.verdict.comparison import UNTOLD, WORSE, Category, Comparison, compare
from harness.verdict.gate import Decision, Verdict, judge
from harness.verdict.policy import DEFAULT_POLICY, LATENCY_NOTE, NUMBERS_NOTE, GatePolicy, GateRule, Limits
from tests.report import comparisons
from tests.tables.samples import failed, mismatched, native, output, passed, table
from tests.verdict.test_verdict_property import Side, sides

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [category for category in Category if category is not Category.UNCHANGED]
MIXED = comparisons.mixed()


def by(comparison: Comparison, *rules: GateRule, **values: object) -> Verdict:
    return judge(comparison, policy=replace(GatePolicy(rules=rules, source="x.toml"), **values))  # type: ignore[arg-type]


def test_a_matrix_file_names_the_categories_that_there_are() -> None:
    assert set(get_args(matrixfile.Category)) == {category.value for category in OTHERS}
    assert set(get_args(matrixfile.Told)) == {category.value for category in OTHERS if category not in UNTOLD}


@pytest.mark.parametrize("category", OTHERS)
@pytest.mark.parametrize("scope", ["all", "model", "strategy", "cell", "another"])
def test_every_category_by_every_rule(category: Category, scope: str) -> None:
    (first, *_) = MIXED.of(category)
    models = (first.model,) if scope in ("model", "cell") else ("no-such-*",) if scope == "another" else ()
    strategies = (first.strategy,) if scope in ("strategy", "cell") else ()
    covered = [
        each
        for each in MIXED.of(category)
        if scope != "another"
        and (not models or each.model in models)
        and (not strategies or each.strategy in strategies)
    ]
    fail = by(MIXED, GateRule(models=models, strategies=strategies, fail=frozenset({category})), fail=frozenset())
    assert fail.failing == tuple(covered)
    assert set(fail.allowed) == {each for each in MIXED.changes if each.category in WORSE} - set(covered)
    assert any(category.words in reason for reason in fail.reasons) is (bool(covered) or category in UNTOLD)
    ignore = by(
        MIXED,
        GateRule(models=models, strategies=strategies, ignore=frozenset({category})),
        fail=frozenset(OTHERS),
    )
    assert set(fail.failing) | set(ignore.failing) == (
        {each for each in MIXED.changes if each.category is not Category.UNCHANGED}
    )
    assert not set(covered) & set(ignore.failing)
    assert ignore.exit_code == 1  # the other categories
    assert set(ignore.allowed) == {each for each in covered if category in WORSE}


def test_the_last_rule_that_says_something_of_a_cell_counts() -> None:
    ignore = GateRule(ignore=frozenset({Category.NEWLY_FAILING}))
    but = GateRule(models=("embedding",), strategies=("*:17",), fail=frozenset({Category.NEWLY_FAILING}))
    elsewhere = GateRule(models=("embedding",), ignore=frozenset({Category.MISMATCHED}))
    told = by(MIXED, ignore, but, elsewhere)
    assert [each.name for each in told.failing if each.category is Category.NEWLY_FAILING] == [
        "embedding/onnx-torchscript:17"
    ]
    assert not [each for each in by(MIXED, but, ignore).failing if each.category is Category.NEWLY_FAILING]


def test_what_is_worse_and_allowed_is_shown_in_every_part_of_a_verdict() -> None:
    base = table(passed("a", "s"), passed("b", "s"), natives={"a": native(output(1.0)), "b": native(output(1.0))})
    now = table(
        failed("a", "s"),
        passed("b", "s"),
        natives={"a": native(output(1.0)), "b": native(output(2.0))},
        started="2026-02-01T12:00:00Z",
    )
    found = compare(base, now)
    assert judge(found).exit_code == 1
    rule = GateRule(models=("a",), ignore=frozenset({Category.NEWLY_FAILING}))
    stays = GateRule(models=("b",), moved_natives=False)
    told = by(found, rule, stays)
    assert told.decision is Decision.MAY_MERGE
    assert told.reasons == (
        "nothing is worse among 2 cells but what [gate] allows (1 cell newly failing, native output of 1 model moved)",
        "which rests on 1 cell of 1 model that passed on both sides",
    )
    assert "Worse, and allowed by [gate]: newly failing a/s; moved native output of b." in told.notes
    assert (
        "Judged by [gate] of x.toml, which differs from the default: for models a newly-failing does not fail; for "
        "models b moved native outputs do not fail." in told.notes
    )
    assert by(found, rule).reasons == ("native output of 1 model moved",)
    lacking = table(failed("a", "s"), missing=[("b", "s")], natives=dict(now.natives), started="2026-02-01T12:00:00Z")
    untold = by(compare(base, lacking), rule, stays)
    assert untold.decision is Decision.CANNOT_TELL
    assert untold.notes[0] == (
        "Nothing is worse among the cells that could be compared but what [gate] allows (1 cell newly failing, native "
        "output of 1 model moved)."
    )


def test_no_policy_makes_up_for_evidence_that_is_not_there() -> None:
    lenient = GatePolicy(fail=frozenset(), moved_natives=False, source="x.toml")
    nothing = compare(table(passed("a", "s")), table(failed("a", "s"), started="2026-02-01T12:00:00Z"))
    assert judge(nothing, policy=lenient).exit_code == 3
    assert judge(comparisons.untold(), policy=lenient).exit_code == 3
    assert judge(comparisons.same(), policy=lenient).exit_code == 3
    assert judge(comparisons.unresolvable(), policy=lenient).exit_code == 3


@pytest.mark.parametrize(
    ("before", "after", "limit", "code"),
    [
        ((0.9778, 0.9778), (0.9778, 0.9778), 0.0, 0),
        ((0.9778, 0.9778), (0.9778, 0.9678), 1.0, 0),
        ((0.9778, 0.9778), (0.9778, 0.9677), 1.0, 1),
        ((0.9778, 0.9778), (0.9677, 0.9778), 1.0, 1),
        ((0.9778, 0.9678), (0.9778, 0.9778), 0.0, 0),
        ((0.9778, 0.9778), (0.9778, None), 1.0, 3),
        ((None, None), (0.1, 0.1), 1.0, 0),
        ((0.9778, 0.9778), (0.1, 0.1), None, 0),
    ],
)
def test_accuracy_may_drop_by_the_points_that_a_policy_names(
    before: tuple[float | None, float | None],
    after: tuple[float | None, float | None],
    limit: float | None,
    code: int,
) -> None:
    base, now = (
        table(passed("a", "s", accuracy_native=n, accuracy_converted=c), passed("b", "s"), started=started)
        for (n, c), started in ((before, "2026-01-31T12:00:00Z"), (after, "2026-02-01T12:00:00Z"))
    )
    found = compare(base, now)
    told = by(found, limits=Limits(accuracy_points=limit))
    assert told.exit_code == code, told
    if code == 1:
        assert told.reasons == ("accuracy of 1 cell dropped by more than [gate] allows",)
        assert "Accuracy dropped: a/s by 1.01 points (limit 1)." in told.notes
    elsewhere = GateRule(models=("a",), limits=Limits(accuracy_points=100.0))
    assert by(found, elsewhere, limits=Limits(accuracy_points=limit)).exit_code == (0 if code == 1 else code)
    known = before[0] is not None and after[0] is not None
    assert any("no cell that it is for has an accuracy" in note for note in told.notes) is (
        limit is not None and not known
    )


def test_two_tables_never_fail_on_latency_whatever_the_limit() -> None:
    base = table(*(passed(model, "s", provider="cpu") for model in "abcd"))
    slow = [passed(model, "s", provider="cpu", latency_ms=2000.0) for model in "abcd"]
    found = compare(base, table(*slow, started="2026-02-01T12:00:00Z"))
    assert found.latency.together
    limits = Limits(latency_percent=1.0)
    for policy in (
        GatePolicy(limits=limits, source="x.toml"),
        GatePolicy(rules=(GateRule(limits=limits),), source="x.toml"),
    ):
        told = judge(found, policy=policy)
        assert told.exit_code == 0
        assert told.notes[-1] == f"{NUMBERS_NOTE} [gate] names latency_percent: add --duel."
    both = GatePolicy(limits=Limits(latency_percent=1.0, memory_percent=1.0), source="x.toml")
    assert judge(found, policy=both).notes[-1] == f"{LATENCY_NOTE} [gate] names latency_percent: add --duel."
    assert judge(found).notes[-1] == NUMBERS_NOTE


def test_a_rule_that_is_about_no_cell_is_told() -> None:
    rule = GateRule(models=("grruu",), strategies=("onnx-*",), ignore=frozenset({Category.MISMATCHED}))
    assert "Rules of [gate] that match no cell here: for models grruu, strategies onnx-*." in by(MIXED, rule).notes


def test_a_policy_says_where_it_is_the_default_one() -> None:
    assert DEFAULT_POLICY.differences() == ()
    told = judge(comparisons.clean(), policy=GatePolicy(source="nightly.toml"))
    assert "Judged by [gate] of nightly.toml, which is the default policy." in told.notes
    assert not [note for note in judge(comparisons.clean()).notes if "[gate]" in note]
    strict = GatePolicy(
        fail=WORSE - {Category.FAILING_EARLIER} | {Category.FAILING_DIFFERENTLY},
        moved_natives=False,
        limits=Limits(accuracy_points=0.5, memory_percent=15.0),
    )
    assert strict.differences() == (
        "failing-differently fails",
        "failing-earlier does not fail",
        "moved native outputs do not fail",
        "accuracy may drop 0.5 points",
        "memory may grow 15 %",
    )


def committed() -> list[Path]:
    return sorted(path.parent for path in (ROOT / "results").glob("*/*/*/run.json"))


@pytest.mark.parametrize(("base", "candidate"), list(product(committed(), repeat=2)), ids=lambda path: path.name)
def test_the_default_policy_fails_on_what_is_worse_in_all_committed_tables(base: Path, candidate: Path) -> None:
    before, after = (_tables.setdefault(path, read_table(path)) for path in (base, candidate))
    found = compare(before, after)
    told = judge(found)
    worse = {each for each in found.changes if each.category in WORSE}
    assert set(told.failing) == worse
    assert not told.allowed
    assert (told.exit_code == 1) is bool(worse or found.moved_natives)


_tables: dict[Path, Table] = {}


RULES = st.builds(
    GateRule,
    models=st.sampled_from([(), ("a",), ("b", "x*"), ("*",)]),
    strategies=st.sampled_from([(), ("onnx*",), ("native",)]),
    fail=st.frozensets(st.sampled_from(OTHERS), max_size=3),
    ignore=st.frozensets(st.sampled_from([c for c in OTHERS if c not in UNTOLD]), max_size=4),
    moved_natives=st.sampled_from([None, True, False]),
)


def test_a_policy_changes_what_fails_and_never_what_was_seen() -> None:
    """Whatever the policy, a zero rests on the same evidence, and names all that is worse."""
    codes: set[tuple[int, int]] = set()

    @given(sides(), st.lists(RULES, max_size=3), st.frozensets(st.sampled_from(OTHERS)), st.booleans())
    @settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    def check(pair: tuple[Side, Side], rules: list[GateRule], fail: frozenset[Category], moved: bool) -> None:
        found = compare(pair[0].table(), pair[1].table())
        policy = GatePolicy(fail=fail, moved_natives=moved, rules=tuple(rules), source="x.toml")
        usual, told = judge(found), judge(found, policy=policy)
        codes.add((usual.exit_code, told.exit_code))
        worse = {each for each in found.changes if each.category.worse}
        assert worse <= set(told.failing) | set(told.allowed)
        assert not set(told.failing) & set(told.allowed)
        if usual.exit_code == 3:
            assert told.exit_code in (1, 3)
        if told.exit_code == 0:
            said = " ".join(told.notes)
            assert all(each.name in said for each in worse)
            assert all(each.model in said for each in found.moved_natives)

    check()
    assert {(0, 0), (1, 0), (1, 1), (3, 1), (3, 3)} <= codes


def test_a_mismatch_may_be_allowed_for_one_strategy_alone() -> None:
    base = table(passed("a", "s"), passed("a", "t"))
    now = table(mismatched("a", "s"), mismatched("a", "t"), passed("b", "s"), started="2026-02-01T12:00:00Z")
    told = by(compare(base, now), GateRule(strategies=("s",), ignore=frozenset({Category.MISMATCHED})))
    assert told.reasons == ("1 cell mismatched",)
    assert [told.by_policy(each) for each in (*told.failing, *told.allowed)] == ["", "allowed by [gate]"]
