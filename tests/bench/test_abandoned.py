"""What the next start removes: what dead runs were at, and what waits in attempts that nobody goes on with."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench.abandoned import sweep, why_abandoned
from harness.bench.attempt import Attempt, State
from harness.bench.hold import hold
from harness.bench.plan import Plan
from harness.bench.stages import Stage
from tests.attempts.conftest import leave_waiting
from tests.bench.test_attempt import CELLS, PARTS_OF, PLAN, _record

DAY_S = 86400.0


def _begun(folder: Path, parts: Mapping[str, str] = PARTS_OF, *, days: float = 0.0, plan: Plan = PLAN) -> Attempt:
    """An attempt that was interrupted `days` ago, with all of its cells waiting."""
    made = Attempt(folder)
    made.begin(plan, parts, {})
    for cell in CELLS:
        made.started(cell)
        leave_waiting(made, cell)
        made.waits(cell)
    made.pause("it was interrupted.")
    _age(made, days)
    return made


def _age(attempt: Attempt, days: float) -> None:
    for path in (attempt.file, attempt.events, attempt.plan):
        os.utime(path, (time.time() - days * DAY_S,) * 2)


def test_a_dead_attempts_scratch_is_swept_and_a_held_ones_stays(tmp_path: Path) -> None:
    dead, held = Attempt(tmp_path / "dead"), Attempt(tmp_path / "held")
    for each in (dead, held):
        each.clear_scratch()
    with hold(held.folder, "it", print):
        sweep([dead.folder, held.folder, tmp_path / "nowhere"])
    assert not dead.scratch.exists()
    assert held.scratch.exists()


def test_what_waits_is_kept_for_who_goes_on(tmp_path: Path) -> None:
    attempt = _begun(tmp_path / "one", days=6)
    sweep([attempt.folder])
    assert attempt.waiting_cells(PLAN) == list(CELLS)


@pytest.mark.parametrize("part", ["models", "lock", "policy", "routes", "bench"])
def test_what_waits_goes_when_its_cells_were_begun_anew_with_other_code(tmp_path: Path, part: str) -> None:
    old = _begun(tmp_path / "old", days=1)
    old.write(CELLS[0], _record(CELLS[0]), {})
    _age(old, 1)
    new = _begun(tmp_path / "new", {**PARTS_OF, part: "edited"})
    among = [old.folder, new.folder]
    assert why_abandoned(old, among) == "the same cells were begun anew in new"
    sweep(among)
    assert not old.has_waiting()
    assert (old.state, old.recorded(PLAN)) == (State.PAUSED, [CELLS[0]]), "what was recorded stays"
    assert new.waiting_cells(PLAN) == list(CELLS)


def test_what_waits_stays_when_what_began_since_is_something_else(tmp_path: Path) -> None:
    old = _begun(tmp_path / "old", days=1)
    other_cells = _begun(tmp_path / "other-cells", {**PARTS_OF, "plan": "of other cells"})
    before = _begun(tmp_path / "before", {**PARTS_OF, "models": "as it was"}, days=2)
    assert why_abandoned(old, [old.folder, other_cells.folder, before.folder]) == ""


@pytest.mark.parametrize("part", ["packages", "lock"])
def test_another_interpreter_is_no_edit(tmp_path: Path, part: str) -> None:
    old = _begun(tmp_path / "old", {**PARTS_OF, "lock": ""}, days=1)
    other = _begun(tmp_path / "other", {**PARTS_OF, "lock": "", part: "of another environment"})
    edited = _begun(tmp_path / "edited", {**PARTS_OF, "lock": "", "models": "edited"})
    assert why_abandoned(old, [old.folder, other.folder]) == ""
    assert why_abandoned(old, [old.folder, other.folder, edited.folder]) == "the same cells were begun anew in edited"


def test_what_waits_goes_where_nobody_can_go_on_or_has_come_for_days(tmp_path: Path) -> None:
    old, void = _begun(tmp_path / "old", days=8), _begun(tmp_path / "void")
    void.void("files were edited")
    assert why_abandoned(old, []) == "nobody has been at it for 7 days"
    assert why_abandoned(void, []) == "files were edited while its cells ran"
    with hold(old.folder, "it", print):
        sweep([old.folder, void.folder])
        assert old.has_waiting(), "somebody has it"
    assert not void.has_waiting()
    sweep([old.folder])
    assert not old.has_waiting()


def test_cells_that_were_ready_for_a_duel_are_made_ready_again(tmp_path: Path) -> None:
    attempt = _begun(tmp_path / "side", plan=replace(PLAN, duel_side="a"))
    attempt.write(CELLS[0], replace(_record(CELLS[0]), stage=Stage.PROBE), {}, waits_on=True)
    attempt.write(CELLS[1], _record(CELLS[1]), {})
    (attempt.built / "resnet18").mkdir(parents=True)
    attempt.end()
    _age(attempt, 8)
    sweep([attempt.folder])
    assert not attempt.has_waiting()
    assert (attempt.state, attempt.recorded(PLAN)) == (State.PAUSED, [CELLS[1]])


def test_what_a_settled_duel_left_goes_and_its_records_stay(tmp_path: Path) -> None:
    attempt = _begun(tmp_path / "side", plan=replace(PLAN, duel_side="a"))
    for cell in CELLS:
        attempt.write(cell, _record(cell), {}, waits_on=True)
    attempt.end()
    attempt.settle("there")
    sweep([attempt.folder])
    assert not attempt.has_waiting()
    assert (attempt.state, attempt.recorded(PLAN)) == (State.SETTLED, list(CELLS))
