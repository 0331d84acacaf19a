"""How the processes of a pair are started and what they are asked, without any of them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench.errors import InterpreterGoneError
from harness.bench.requests import DuelRequest
from harness.duel.pairing import Pair, Pairing, unsteady
from tests.duel.sides import ready


def test_which_side_is_started_first_is_left_to_chance(tmp_path: Path) -> None:
    sides = ready(tmp_path, "before"), ready(tmp_path, "after")
    first = set()
    with Pairing(tmp_path / "scratch", marker=str(tmp_path)) as pairing:
        for seed in range(8):
            with pytest.raises(InterpreterGoneError) as raised:
                pairing.take(sides, chance=random.Random(seed))
            first.add(str(raised.value).split()[4])
    assert first == {"before", "after"}


def test_a_process_warms_up_with_the_patience_of_the_policy_and_not_of_its_turns(tmp_path: Path) -> None:
    side = ready(tmp_path, "before")
    patient = replace(side, plan=replace(side.plan, policy=replace(side.policy, measure_s=7.0)))
    assert patient.request(tmp_path, kind=DuelRequest).measure_s == 7.0


@pytest.mark.parametrize(("steady", "told"), [([False, True, False], True), ([False, True], False), ([None], False)])
def test_a_cell_is_unsteady_where_a_side_of_most_of_its_pairs_was(steady: list[bool | None], told: bool) -> None:
    fine = Pair(model="m", strategy="fine", started="", seconds=1.0, difference=0.0, processes=({"steady": True},))
    pairs = [replace(fine, strategy="s", processes=({"steady": True}, {"steady": each})) for each in steady]
    fell_out = replace(pairs[0], difference=None, processes=({"steady": False},) * 2)
    assert unsteady([fine, *pairs, fell_out]) == ([("m", "s")] if told else [])
