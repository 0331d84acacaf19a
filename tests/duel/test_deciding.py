"""What a duel says of its cells, and which go on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.duel.deciding import Contest, Decision, decide
from harness.duel.sequential import Design
from tests.duel.contests import played
from tests.duel.machines import MACHINES

NOISE = np.random.default_rng(5).normal(0.0, 0.01, 48).tolist()


def moved(effect: float, pairs: int, *, noise: Sequence[float] = NOISE) -> list[float]:
    return [each + math.log1p(effect) for each in noise[:pairs]]


def test_each_decision() -> None:
    wide = [each * 30 for each in NOISE]
    contest = decide(
        {
            "slower": moved(0.1, 12),
            "faster": moved(-0.1, 12),
            "equal": moved(0.0, 6),
            "unclear": moved(0.0, 48, noise=wide),
            "begun": moved(0.0, 3),
            "waiting": [],
        }
    )
    assert {name: cell.decision.value for name, cell in contest.cells.items()} == {
        "slower": "slower",
        "faster": "faster",
        "equal": "equal",
        "unclear": "inconclusive",
        "begun": "inconclusive",
        "waiting": "inconclusive",
    }
    slower, begun, waiting = (contest.cells[name] for name in ("slower", "begun", "waiting"))
    assert slower.effect is not None
    assert slower.effect == pytest.approx(0.1, abs=0.01)
    assert slower.lower is not None
    assert slower.upper is not None
    assert slower.slower_than < slower.lower < slower.effect < slower.upper
    assert (slower.pairs, slower.look, slower.next_look, slower.reason) == (12, 12, None, "")
    assert (begun.look, begun.next_look, begun.lower, begun.upper) == (0, 6, None, None)
    assert begun.effect == pytest.approx(0.0, abs=0.02)
    assert waiting.effect is None
    assert contest.cells["unclear"].reason == "undecided after all 48 pairs"
    assert begun.reason == "undecided after 3 of 48 pairs"
    assert set(contest.going_on) == {"begun", "waiting"}


def test_nobody_is_in_no_duel() -> None:
    contest = decide({})
    assert (contest.cells, contest.going_on) == ({}, ())


def test_a_cell_is_held_against_its_own_bound() -> None:
    differences = {"named": moved(0.08, 24), "unnamed": moved(0.08, 24)}
    contest = decide(differences, thresholds={"named": 0.1})
    assert contest.cells["unnamed"].decision is Decision.SLOWER
    assert contest.cells["named"].decision is Decision.EQUAL
    # Equal within 5 % it is not: what is asked for is said.
    assert contest.cells["named"].equal_within == contest.cells["named"].slower_than == 0.1


def test_a_decision_says_whether_it_is_one_on_the_limit() -> None:
    contest = decide(
        {"held": moved(0.015, 12), "not held": moved(0.015, 12), "free": moved(0.015, 12)},
        thresholds={"held": 0.03, "not held": 0.03},
        limits={"held": 0.1, "not held": 0.01},
        design=Design(equal_within=0.01),
    )
    told = {name: (cell.limit, cell.slower_than, cell.equal_within) for name, cell in contest.cells.items()}
    assert told == {"held": (0.1, 0.1, 0.1), "not held": (0.01, 0.03, 0.03), "free": (None, 0.02, 0.02)}
    assert contest.cells["not held"].decision is Decision.EQUAL


@pytest.mark.parametrize(
    ("asked", "limit", "decision"),
    [
        (0.05, None, Decision.INCONCLUSIVE),
        (0.05, 0.1, Decision.INCONCLUSIVE),
        (0.5, None, Decision.EQUAL),
        (0.05, 0.4, Decision.EQUAL),
    ],
)
def test_a_cell_that_differs_much_from_itself_is_slower_or_nothing(
    asked: float, limit: float | None, decision: Decision
) -> None:
    limits = {} if limit is None else {"cell": limit}

    def told(effect: float, ended: str = "") -> Contest:
        design = Design(equal_within=asked)
        return decide({"cell": moved(effect, 6)}, thresholds={"cell": 0.34}, limits=limits, design=design, ended=ended)

    cell = told(0.15).cells["cell"]
    assert (cell.decision, cell.next_look) == (decision, None)
    if decision is Decision.INCONCLUSIVE:
        assert cell.reason == "within 34 %, by as much as it differs from itself on this machine"
        ended = told(0.15, "the budget was spent")
        assert (ended.cells["cell"], ended.cut) == (cell, ())
    assert told(0.6).cells["cell"].decision is Decision.SLOWER


def test_what_is_slower_and_proved_to_be_within_what_is_equal_is_slower() -> None:
    cell = decide({"cell": moved(0.035, 48, noise=[each / 10 for each in NOISE])}).cells["cell"]
    assert cell.p_equal <= 0.05
    assert cell.decision is Decision.SLOWER


@pytest.mark.parametrize(("cells", "slower"), [(1, 1), (2, 1), (23, 1), (23, 10), (150, 5)])
def test_a_cell_that_is_slower_without_doubt_goes_on_until_it_is_called_so_however_many_cells_there_are(
    cells: int, slower: int
) -> None:
    drawn = np.random.default_rng(0).normal(0.0, 0.001, (cells, 48))
    drawn[:slower] += math.log1p(0.03)
    told = list(played(drawn).cells.values())
    assert {cell.decision for cell in told[:slower]} == {Decision.SLOWER}
    assert all(cell.p_equal <= 0.05 for cell in told[:slower]), "within 5 % it was proved to be by its first look"
    assert {(cell.decision, cell.pairs) for cell in told[slower:]} <= {(Decision.EQUAL, 6)}


@pytest.mark.parametrize("effect", [0.035, -0.035])
def test_what_is_within_what_is_equal_and_looks_moved_is_called_equal_after_all_pairs_alone(effect: float) -> None:
    others = {f"other-{index}": [0.0] * 6 for index in range(150)}
    seen = moved(effect, 6, noise=[each / 10 for each in NOISE])
    cell = decide({"cell": seen, **others}).cells["cell"]
    assert cell.p_equal <= 0.05
    assert (cell.decision, cell.next_look) == (Decision.INCONCLUSIVE, 12)
    cut = decide({"cell": seen, **others}, ended="the budget was spent")
    assert cut.cut == ("cell",)
    assert cut.cells["cell"].decision is Decision.INCONCLUSIVE
    assert cut.cells["cell"].reason == "the budget was spent after 6 of 48 pairs: within 5 %, and maybe beyond 2 %"
    last = decide({"cell": seen, **others}, design=Design(looks=(6,)))
    assert (last.cells["cell"].decision, last.cut) == (Decision.EQUAL, ())


def test_more_is_asked_where_there_are_more_cells() -> None:
    alone = decide({"cell": moved(0.1, 12)})
    among = decide({"cell": moved(0.1, 12)} | {f"other-{index}": moved(0.0, 12) for index in range(50)})
    assert alone.cells["cell"].decision is Decision.SLOWER
    assert among.cells["cell"].p_slower == alone.cells["cell"].p_slower
    assert among.going_on == ("cell",)
    others = [cell.p_slower for name, cell in among.cells.items() if name != "cell"]
    adjusted = stats.false_discovery_control([among.cells["cell"].p_slower, *others])
    assert among.cells["cell"].q_slower == pytest.approx(adjusted[0])


def test_an_alarm_is_looked_into_first_and_no_further_than_the_budget_goes() -> None:
    wide = [0.1, -0.1] * 6
    contest = decide({"new": [], "wide": wide, "alarm": moved(0.12, 12, noise=wide)})
    assert contest.going_on[0] == "alarm"
    cost = {"new": 2.0, "wide": 1.0, "alarm": 1.0}
    assert contest.affordable(left=11.9, cost=cost) == ()
    assert contest.affordable(left=12, cost=cost) == ("alarm",)
    assert set(contest.affordable(left=24, cost=cost)) < set(contest.going_on)
    assert contest.affordable(left=36, cost=cost) == contest.going_on


def test_a_spent_budget_leaves_what_is_undecided_inconclusive_with_the_reason() -> None:
    random = np.random.default_rng(0)
    drawn = random.normal(0.0, 0.1, (10, 48))
    drawn[:5] /= 20
    contest = played(drawn, budget_pairs=100)
    assert sum(cell.pairs for cell in contest.cells.values()) <= 100
    assert contest.going_on == ()
    decisions = [cell.decision for cell in contest.cells.values()]
    assert decisions[:5] == [Decision.EQUAL] * 5
    left = [cell for cell in contest.cells.values() if cell.decision is Decision.INCONCLUSIVE]
    assert left
    assert {cell.reason for cell in left} == {
        f"the budget of 100 pairs was spent after {cell.pairs} of 48 pairs" for cell in left
    }


def test_a_difference_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="of x has no finite difference"):
        decide({"x": [0.1, math.nan]})


OPPOSITE = {Decision.SLOWER: Decision.FASTER, Decision.FASTER: Decision.SLOWER}


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.floats(-0.3, 0.3), max_size=26), min_size=1, max_size=4))
def test_b_against_a_says_the_opposite_of_a_against_b(differences: dict[str, list[float]]) -> None:
    one = decide(differences)
    other = decide({name: [-each for each in values] for name, values in differences.items()})
    for name, cell in one.cells.items():
        turned = other.cells[name]
        assert turned.decision is OPPOSITE.get(cell.decision, cell.decision)
        assert (turned.q_slower, turned.q_faster, turned.p_equal) == (cell.q_faster, cell.q_slower, cell.p_equal)
        if cell.effect is not None:
            assert turned.effect is not None
            assert 1 + turned.effect == pytest.approx(1 / (1 + cell.effect))


def test_what_is_called_slower_stays_so_however_the_others_go_on() -> None:
    random = np.random.default_rng(1)
    drawn = random.normal(0.0, 0.04, (20, 48))
    drawn[:6] += math.log1p(0.08)
    rows = {str(index): row.tolist() for index, row in enumerate(drawn)}
    called: set[str] = set()
    for look in Design().looks:
        cells = decide({name: row[:look] for name, row in rows.items()}).cells
        now = {name for name, cell in cells.items() if cell.decision is Decision.SLOWER}
        assert called <= now
        called = now
    assert called


def test_of_150_cells_that_are_alike_and_40_that_are_slower_those_that_are_slower_are_found() -> None:
    drawn = MACHINES["half of the cells busy"](np.random.default_rng(0), (190, 48))
    drawn[150:] += math.log1p(0.10)
    decisions = [cell.decision for cell in played(drawn).cells.values()]
    assert sum(each in OPPOSITE for each in decisions[:150]) <= 1
    assert decisions[:150].count(Decision.EQUAL) >= 135
    assert decisions[150:].count(Decision.SLOWER) >= 36


def test_slower_and_faster_have_the_whole_error_each() -> None:
    # Six pairs that are all on one side have a probability of 1/64: half the error would not do for either.
    design = Design(looks=(6,), error=1 / 64)
    assert decide({"cell": moved(0.2, 6)}, design=design).cells["cell"].decision is Decision.SLOWER
    assert decide({"cell": moved(-0.2, 6)}, design=design).cells["cell"].decision is Decision.FASTER


def test_false_discoveries_are_no_more_than_the_error_where_the_others_lie_at_the_bound() -> None:
    shares = []
    for seed in range(60):
        drawn = MACHINES["1 %, a launch in ten slowed"](np.random.default_rng(seed), (12, 24)) + math.log1p(0.02)
        drawn[9:] += math.log1p(0.10)
        cells = played(drawn, design=Design(looks=(6, 12, 24))).cells.values()
        slower = [cell.decision is Decision.SLOWER for cell in cells]
        assert any(slower[9:])
        shares.append(sum(slower[:9]) / sum(slower))
    assert np.mean(shares) <= 0.05
