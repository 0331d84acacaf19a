"""A cell that ran on another machine has that one's identity, and is carried where such a machine may run it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.attempts import identities
from harness.attempts.carrying import tables_of
from harness.attempts.figures import OF_THE_MACHINE
from harness.attempts.reasons import why
from harness.bench.plan import Cell
from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.executors.orders import CONVERTED_ON, ENDED_ON
from harness.tables.ingredients import OF_A_MACHINE, Ingredients, Items, Surroundings, name_of
from harness.tables.reading import read_table
from harness.tables.schema import Table
from tests.attempts.worlds import Machines, World, both, night_of, quiet_night, record, run_now
from tests.tables.samples import timing

UNTIMED: dict[str, Any] = dict.fromkeys(("latency_ms", "launches", "iterations", "latency_iqr_ms"))

LATER = "2026-01-31T13:00:00Z"


def here(world: World) -> Surroundings:
    """The surroundings of this machine, as the table has them that the world begins with."""
    return ingredients(read_table(tables_of([world.root / "results"], "small")[-1])).surroundings()


def ingredients(table: Table) -> Ingredients:
    (found,) = table.ingredients.values()
    return found


def node(world: World, *parts: str, as_: str = "the node's") -> Surroundings:
    """The surroundings of a node that is as this machine but for `parts`."""
    return {name: {**items, "one": as_} if name in parts else items for name, items in here(world).items()}


def only(*machines: Surroundings) -> Machines:
    """Cells may run on these machines alone."""
    return lambda _: list(machines)


def beside(*machines: Surroundings) -> Machines:
    """Cells may run on these machines, and on this one."""
    return lambda here: [here, *machines]


def seen_on(world: World, *nodes: Surroundings, **marks: str) -> Table:
    """The one table there is then, of a run whose cells ran on `nodes`."""
    shutil.rmtree(world.root / "results")
    return world.seen(LATER, both(world.plan), nodes=nodes, marks=marks)


@pytest.mark.parametrize("part", OF_A_MACHINE)
def test_each_part_of_a_node_has_a_say_in_the_cells_that_ran_there(world: World, part: str) -> None:
    (before,) = {each.identity for each in read_table(tables_of([world.root / "results"], "small")[0]).records[:1]}
    there = node(world, part)
    table = seen_on(world, there, **{ENDED_ON: name_of(there)})
    assert table.records[0].identity not in (None, before)
    assert ingredients(table).elsewhere == {name_of(there): {part: there[part]}}
    assert run_now(world, machines=only(there)) == set()
    assert run_now(world) == {"native", "recite"}, "such a machine may not run them"
    assert run_now(world, machines=beside(node(world, part, as_="another"))) == {"native", "recite"}


def test_a_node_that_is_as_this_machine_leaves_no_trace(world: World) -> None:
    before = read_table(tables_of([world.root / "results"], "small")[0])
    table = seen_on(world, node(world), **{CONVERTED_ON: name_of(here(world)), ENDED_ON: name_of(here(world))})
    assert [each.identity for each in table.records] == [each.identity for each in before.records]
    assert table.ingredients == before.ingredients
    assert run_now(world) == set()


def test_what_was_converted_on_a_node_and_timed_here_is_of_both(world: World) -> None:
    there = node(world, "cpu", "libraries")
    table = seen_on(world, there, **{CONVERTED_ON: name_of(there)})
    converted_there = table.records[0].identity
    assert ingredients(table).ran_on["good/native"] == (name_of(there), "")
    assert run_now(world, machines=beside(there)) == set()
    assert run_now(world, machines=only(there)) == {"native", "recite"}, "a class of machines times them too"
    table = seen_on(world, there, **{ENDED_ON: name_of(there)})
    assert table.records[0].identity != converted_there


def test_what_is_carried_over_is_still_of_the_machine_that_it_ran_on(world: World) -> None:
    one, two = node(world, "cpu"), node(world, "packages")
    first = seen_on(world, one, two, **{CONVERTED_ON: name_of(one), ENDED_ON: name_of(two)})
    attempt, _ = world.begun("now", quiet_night(world.plan), machines=only(two, one))
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    assert made.run.carried == len(made.records)
    assert [each.identity for each in made.records] == [each.identity for each in first.records]
    assert made.ingredients == first.ingredients


def _carried(world: World, *machines: Surroundings, **conditions: Any) -> dict[str, Record]:
    """What is carried over tonight, by strategy, where cells may run on `machines` beside this one."""
    attempt, _ = world.begun("now", quiet_night(world.plan), machines=beside(*machines), **conditions)
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    return {each.strategy: each for each in made.records if each.carried_from}


def test_figures_of_a_node_are_not_carried_as_this_machines(world: World) -> None:
    """Without a class of machines, what is not timed ends on some node, and what is timed was converted on one."""
    there = node(world, "cpu")
    untimed = {**both(world.plan), "native": record(world.plan, "native", **UNTIMED)}
    shutil.rmtree(world.root / "results")
    before = world.seen(LATER, untimed, nodes=[there], marks={ENDED_ON: name_of(there)})
    assert {each.duration_s for each in before.records} == {1.5}, "its own table says how long it took on the node"
    found = _carried(world, there)
    assert set(found) == {"native", "recite"}
    assert all(getattr(each, name) is None for each in found.values() for name in OF_THE_MACHINE)


def test_what_was_timed_here_keeps_that_without_the_seconds_of_the_node(world: World) -> None:
    there = node(world, "cpu")
    seen_on(world, there, **{CONVERTED_ON: name_of(there)})
    native = _carried(world, there)["native"]
    assert (native.latency_ms, native.launches, native.convert_s, native.duration_s) == (1.5, 1, None, None)
    attempt, _ = world.begun("again", quiet_night(world.plan), machines=beside(there))
    again = world.settled(attempt, "2026-02-02T12:00:00Z")
    assert {each.latency_ms for each in again.records if each.strategy == "native"} == {1.5}


def test_what_a_class_of_machines_timed_is_of_the_run(world: World) -> None:
    there = node(world, "cpu")
    seen_on(world, there, **{ENDED_ON: name_of(there)})
    found = _carried(world, there)
    assert {name: (each.duration_s, each.convert_s) for name, each in found.items()} == dict.fromkeys(found, (1.5, 0.5))


def test_what_came_of_a_limit_on_a_node_is_run_again(world: World) -> None:
    there = node(world, "cpu")
    late = both(world.plan, outcome=Outcome.TIMED_OUT)
    for marks, again in (
        ({}, set()),
        ({CONVERTED_ON: name_of(there)}, set()),
        ({ENDED_ON: name_of(there)}, {"recite"}),
    ):
        shutil.rmtree(world.root / "results")
        untimed = {**late, "native": record(world.plan, "native", **UNTIMED)}
        world.seen(LATER, untimed, nodes=[there], marks=marks)
        assert run_now(world, machines=beside(there)) == again, marks


def test_what_ran_here_is_carried_to_nodes_that_are_as_this_machine_was(world: World) -> None:
    """The command is given on another machine today, and a node is as the one of then."""
    before, of_then = here(world), read_table(tables_of([world.root / "results"], "small")[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_LEVEL", "3")
        assert run_now(world) == {"native", "recite"}
        attempt, _ = world.begun("there", quiet_night(world.plan), machines=beside(before))
        made = world.settled(attempt, "2026-02-01T12:00:00Z")
    assert [each.identity for each in made.records] == [each.identity for each in of_then.records]
    assert ingredients(made).elsewhere == {name_of(before): {"variables": before["variables"]}}


def test_a_cell_of_a_node_that_did_not_say_what_it_is_has_no_identity(world: World) -> None:
    table = seen_on(world, **{ENDED_ON: "0" * 16})
    assert {each.identity for each in table.records} == {None}
    assert run_now(world) == {"native", "recite"}


def test_nobody_is_asked_where_there_is_nothing_to_carry(world: World) -> None:
    def asked(_: Surroundings) -> Sequence[Surroundings]:
        raise AssertionError

    policy = replace(world.plan.policy, timeout_s=299.0)
    world.plan = replace(world.plan, policy=policy)
    assert run_now(world, machines=asked) == {"native", "recite"}


def test_the_machine_that_differs_least_says_what_differs(world: World) -> None:
    there = node(world, "cpu", "libraries")
    table = ingredients(seen_on(world, there, **{ENDED_ON: name_of(there)}))
    among = [here(world), node(world, "cpu"), node(world, "python")]
    cells = list(world.plan.cells)

    def reads_now(of: Ingredients, cell: Cell) -> Items | None:
        return of.read_by(cell.model, cell.strategy)

    told = why([{"": table}], table, cells, among=among, reads_now=reads_now)
    assert told == {"the libraries of the system (one) changed": cells}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_cell_that_comes_to_something_else_on_another_machine_is_no_finding(world: World, *, elsewhere: bool) -> None:
    one, two = node(world, "cpu"), node(world, "libraries")
    seen_on(world, one, **{ENDED_ON: name_of(one)})
    cell = next(cell for cell in world.plan.cells if cell.strategy == "recite")
    attempt, told = world.begun("now", night_of(cell), machines=only(one, two))
    assert "small: 1 cell that nothing changed for is run once more" in told
    ran = two if elsewhere else one
    identities.keep_machines(attempt, {name_of(ran): ran})
    passed = {**both(world.plan), "recite": record(world.plan, "recite")}
    for each in set(world.plan.cells) - set(attempt.recorded(world.plan)):
        kept = {"reads": world.reads(), "launches": [timing([0.001, 0.002])], ENDED_ON: name_of(ran)}
        attempt.write(each, passed[each.strategy], kept)
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    assert [each.cell for each in made.run.not_reproducible] == ([] if elsewhere else ["good/recite"])
