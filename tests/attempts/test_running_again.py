"""A share of the cells that rotates is run again, and what comes to something else is not reproducible."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from harness.attempts.carrying import NIGHTS, Carrier, is_due, tables_of
from harness.attempts.reasons import told, why
from harness.attempts.tasks import Task
from harness.bench.plan import Cell
from harness.tables.ingredients import PARTS, Ingredients
from tests.attempts.worlds import STARTED, World, both, night_of, other, record
from tests.tables.samples import timing


def test_each_cell_is_run_again_on_one_of_twenty_nights() -> None:
    cells = [Cell("torch2.0", f"model-{number}", "native", "cpu") for number in range(400)]
    nights = [date(2026, 12, 20) + timedelta(days=days) for days in range(NIGHTS)]
    due = [[cell for cell in cells if is_due(cell, night, seen="2026-12-20T01:00:00Z")] for night in nights]
    assert sorted(cell.model for each in due for cell in each) == sorted(cell.model for cell in cells)
    assert max(map(len, due)) < 3 * len(cells) / NIGHTS


def test_a_cell_whose_night_was_left_out_is_run_on_the_next_that_there_is() -> None:
    cell = Cell("torch2.0", "one", "native", "cpu")
    own = night_of(cell)
    seen = f"{own - timedelta(days=NIGHTS)}T03:00:00Z"
    assert [is_due(cell, own + timedelta(days=days), seen=seen) for days in (-1, 0, 1, 2)] == [False, True, True, True]
    assert not is_due(cell, own + timedelta(days=1), seen=f"{own}T03:00:00Z")


def test_what_a_cell_had_come_to_is_not_held_against_it_once_something_changed(world: World) -> None:
    """The run was interrupted before it came to the cell, and goes on after an edit."""
    cell = next(cell for cell in world.plan.cells if cell.strategy == "recite")
    night = night_of(cell)
    attempt, _ = world.begun("now", night)
    assert [each["strategy"] for each in attempt.expectations()] == ["recite"]
    task, inside = Task(plan=world.plan), {**world.inside, "jobs": 1}
    carrier = Carrier(root=world.root, tables=tables_of([world.root / "results"], "small"), night=night)
    with other(world.folder / "data" / "trained.npz"):
        carrier.take_up(attempt, task, world.prepared, inside, fresh=False)
        assert attempt.expectations() == []
    carrier.take_up(attempt, task, world.prepared, inside, fresh=False)
    attempt.write(cell, record(world.plan, "recite"), {"reads": world.reads()})
    carrier.take_up(attempt, task, world.prepared, inside, fresh=False)
    assert [each["strategy"] for each in attempt.expectations()] == ["recite"], "it was run by then"


@pytest.mark.parametrize("then", ["2", None])
def test_a_cell_that_came_to_something_else_under_other_conditions_is_no_finding(
    world: World, monkeypatch: pytest.MonkeyPatch, then: str | None
) -> None:
    """It ran under a variable that had another value when the run was gone on with, or none at all."""
    cell = next(cell for cell in world.plan.cells if cell.strategy == "recite")
    attempt, _ = world.begun("now", night_of(cell))
    for each in set(world.plan.cells) - set(attempt.recorded(world.plan)):
        kept = {"reads": world.reads(), "launches": [timing([0.001, 0.002])]}
        attempt.write(each, record(world.plan, each.strategy), kept)
    if then:
        monkeypatch.setenv("ORT_LEVEL", then)
    carrier = Carrier(root=world.root, tables=tables_of([world.root / "results"], "small"), night=night_of(cell))
    carrier.take_up(attempt, Task(plan=world.plan), world.prepared, {**world.inside, "jobs": 1}, fresh=False)
    for each in set(world.plan.cells) - set(attempt.recorded(world.plan)):
        attempt.write(each, both(world.plan)[each.strategy], {"launches": [timing([0.001, 0.002])]})
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    assert [each.cell for each in made.run.not_reproducible] == ([] if then else ["good/recite"])


def test_a_cell_of_which_only_the_place_is_known_is_a_finding(world: World) -> None:
    """The bench died with it, so that nobody knows what it read."""
    cell = next(cell for cell in world.plan.cells if cell.strategy == "recite")
    attempt, _ = world.begun("now", night_of(cell))
    for each in set(world.plan.cells) - set(attempt.recorded(world.plan)):
        attempt.write(each, record(world.plan, each.strategy), {"launches": [timing([0.001, 0.002])]})
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    assert [each.cell for each in made.run.not_reproducible] == ["good/recite"]


def test_another_outcome_of_a_cell_that_is_run_again_is_not_reproducible(world: World) -> None:
    cell = next(cell for cell in world.plan.cells if cell.strategy == "recite")
    night = night_of(cell)
    attempt, told = world.begun("now", night)
    assert cell not in attempt.recorded(world.plan)
    assert "small: 1 cell that nothing changed for is run once more" in told
    for each in set(world.plan.cells) - set(attempt.recorded(world.plan)):
        kept = {"reads": world.reads(), "launches": [timing([0.001, 0.002])]}
        attempt.write(each, record(world.plan, each.strategy), kept)
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    (found,) = made.run.not_reproducible
    assert (found.cell, found.before, found.now, found.seen) == ("good/recite", "failed at convert", "passed", STARTED)


def test_what_is_run_is_told_with_its_number_and_all_that_changed() -> None:
    cell = Cell("small", "ranker", "s", "cpu")
    seen = Ingredients(
        shared={}, models={"ranker": "1"}, strategies={"s": "1"}, reads={"r": {"a.bin": "1"}}, cells={"ranker/s": "r"}
    )
    now = replace(seen, models={"ranker": "2"})
    reasons = why([{"": seen}], now, [cell], among=[], reads_now=lambda *_: {"a.bin": "2"})
    lines = list(told("small", [], carried=0, again=2, lacking=[cell], reasons=reasons))
    assert lines[1:] == [
        "small: 2 cells that nothing changed for are run once more",
        f"small: 1 cell of ranker is run, since these changed: {PARTS['model']}; {PARTS['reads']}",
    ]
