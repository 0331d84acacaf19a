"""Cells that nothing changed for are carried over, with all that was recorded of them, where that holds here."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from harness.attempts import details
from harness.attempts.carrying import Carrier, tables_of
from harness.attempts.figures import OF_THE_MACHINE
from harness.attempts.tasks import Task
from harness.bench.stages import Outcome, Stage
from harness.tables.reading import read_table
from harness.tables.schema import Run
from tests.attempts.worlds import STARTED, World, both, machine_of_one_make, other_machine, quiet_night, run_now
from tests.tables.samples import timing


def test_nothing_is_run_where_nothing_changed(base: World) -> None:
    assert run_now(base) == set()


def test_what_is_carried_over_says_whose_it_is_and_keeps_all_that_was_recorded(world: World) -> None:
    attempt, told = world.begun("now", quiet_night(world.plan))
    assert told == [f"small: 2 of 2 cells are carried over, seen by the run of {STARTED}"]
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    assert (made.run.complete, made.run.carried, made.run.jobs) == (True, 2, 1)
    before = read_table(tables_of([world.root / "results"], "small")[-1])
    for was, now in zip(before.records, made.records, strict=True):
        assert now == replace(was, carried_from=STARTED)
    assert made.launches == before.launches
    assert made.ingredients == before.ingredients
    assert details.seen(world.root, made.run, "good", "native")["error"] == "all of it"
    again, _ = world.begun("again", quiet_night(world.plan))
    third = world.settled(again, "2026-02-02T12:00:00Z")
    assert {each.carried_from for each in third.records} == {STARTED}, "who saw it, and not who carried it"


def test_on_another_machine_an_outcome_is_carried_without_figures(world: World) -> None:
    elsewhere = other_machine(world)
    attempt, _ = world.begun("now", quiet_night(world.plan), **elsewhere)
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    assert [each.outcome.value for each in made.records] == ["passed", "failed"]
    assert all(getattr(each, name) is None for each in made.records for name in OF_THE_MACHINE)
    assert made.launches == ()
    back, _ = world.begun("back", quiet_night(world.plan))
    assert world.settled(back, "2026-02-02T12:00:00Z").records[0].latency_ms == 1.5, "an older table has the figures"


@pytest.mark.parametrize("other", ["jobs", "memory"])
def test_figures_are_of_machines_of_one_make_however_many_jobs_ran_on_them(world: World, other: str) -> None:
    conditions = {"jobs": 2} if other == "jobs" else machine_of_one_make(world)
    attempt, _ = world.begun("now", quiet_night(world.plan), **conditions)
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    before = read_table(tables_of([world.root / "results"], "small")[-1])
    assert made.records == tuple(replace(each, carried_from=STARTED) for each in before.records)
    assert made.launches == before.launches


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.CRASHED])
def test_what_came_of_a_limit_is_carried_on_the_same_machine_with_as_many_jobs(world: World, outcome: Outcome) -> None:
    world.seen("2026-01-31T13:00:00Z", both(world.plan, outcome=outcome))
    shutil.rmtree(tables_of([world.root / "results"], "small")[-1])
    assert run_now(world) == set()
    assert run_now(world, jobs=2) == {"recite"}
    assert run_now(world, **other_machine(world)) == {"recite"}


@pytest.mark.parametrize("stage", [Stage.IMPORT, Stage.BUILD])
def test_what_broke_before_it_was_built_is_run_again(world: World, stage: Stage) -> None:
    world.seen("2026-01-31T13:00:00Z", both(world.plan, stage=stage, convert_s=None))
    shutil.rmtree(tables_of([world.root / "results"], "small")[-1])
    assert run_now(world) == {"recite"}


def test_a_cell_of_which_it_is_not_known_what_it_read_is_run_again(world: World) -> None:
    shutil.rmtree(world.root / "results")
    attempt, _ = world.begun("seen")
    for cell in world.plan.cells:
        attempt.write(cell, both(world.plan)[cell.strategy], {"launches": [timing([0.001, 0.002])]})
    made = world.settled(attempt, "2026-01-31T13:00:00Z")
    assert {each.identity for each in made.records} == {None}
    assert run_now(world) == {"native", "recite"}


def test_whoever_goes_on_asks_anew_what_can_be_carried(world: World) -> None:
    attempt, _ = world.begun("now", quiet_night(world.plan))
    task, inside = Task(plan=world.plan), {**world.inside, "jobs": 1}
    Carrier(root=world.root).take_up(attempt, task, world.prepared, inside, fresh=False)
    assert attempt.recorded(world.plan) == [], "a run of all cells goes on with none that was not run"


def test_nobody_is_said_to_have_worked_on_what_was_carried(world: World) -> None:
    attempt, _ = world.begun("now", quiet_night(world.plan))
    assert attempt.spans() == {("good", "native"): [], ("good", "recite"): []}


def test_tables_that_say_nothing_of_identities_are_passed_over(world: World) -> None:
    (folder,) = tables_of([world.root / "results"], "small")
    (folder / "identity.json").unlink()
    assert run_now(world) == {"native", "recite"}
    assert isinstance(read_table(folder).run, Run)
