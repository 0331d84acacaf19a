"""The simulation keeps what is true of every night, and what can be told of a small one without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scale.cluster import Cluster, Load, Outcome, simulate
from tests.scale.recorded import costs, recorded

DURATIONS_S = (0.0, 0.5, 1.0, 2.5, 2.5, 4.0, 20.0)
QUIET = Cluster(nodes=4, slots=2, room=2, install_s=70.0, served=4, start_s=30.0, record_s=0.001)
SMALL = Load(environments=3, cells=300, unit_cells=20)


def night(load: Load = SMALL, *, seed: int = 0, **values: Any) -> Outcome:
    return simulate(load, replace(QUIET, **values), DURATIONS_S, seed=seed)


@given(
    load=st.builds(Load, environments=st.integers(1, 5), cells=st.integers(1, 60), unit_cells=st.integers(1, 25)),
    nodes=st.integers(1, 6),
    slots=st.integers(1, 4),
    room=st.integers(1, 3),
    served=st.integers(1, 3),
    fails_after_s=st.sampled_from([0.0, 150.0, 1000.0]),
    by_environment=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_every_cell_is_recorded_once_whatever_fails(load: Load, seed: int, **values: Any) -> None:
    outcome = night(load, seed=seed, **values)
    undisturbed = simulate(load, replace(QUIET, nodes=1), DURATIONS_S, seed=seed)
    assert outcome.cells == load.environments * load.cells
    assert outcome.cells_s == pytest.approx(undisturbed.cells_s)
    assert outcome.driver_s == pytest.approx(outcome.cells * QUIET.record_s)
    assert outcome.installs >= load.environments
    assert 0 <= outcome.efficiency <= 1
    assert outcome.makespan_s >= outcome.computed_s >= (outcome.cells_s + outcome.lost_s) / outcome.slots - 1e-6
    assert outcome.makespan_s <= outcome.computed_s + outcome.driver_s + 1e-6
    assert (outcome.lost_s > 0) <= (outcome.failures > 0)


def test_one_slot_takes_what_its_parts_take() -> None:
    load = Load(environments=2, cells=10, unit_cells=5)
    outcome = simulate(load, replace(QUIET, nodes=1, slots=1), [3.0])
    assert outcome.computed_s == pytest.approx(2 * 70 + 4 * 30 + 20 * 3)
    assert outcome.makespan_s == pytest.approx(outcome.computed_s + 5 * 0.001)
    assert (outcome.installs, outcome.cells_s) == (2, 60.0)


def test_a_night_is_the_same_again_and_another_by_its_seed() -> None:
    assert night(fails_after_s=300.0, seed=3) == night(fails_after_s=300.0, seed=3)
    assert night(seed=3).cells_s != night(seed=4).cells_s


@pytest.mark.parametrize("seed", range(3))
def test_more_nodes_take_no_longer(seed: int) -> None:
    found = [night(replace(SMALL, cells=2000), nodes=nodes, served=nodes, seed=seed) for nodes in (1, 2, 4, 8)]
    assert [each.makespan_s for each in found] == sorted((each.makespan_s for each in found), reverse=True)
    assert found[-1].makespan_s < found[0].makespan_s / 4


def test_an_index_that_serves_one_at_a_time_is_waited_for() -> None:
    few, all_at_once = night(nodes=8, served=1), night(nodes=8, served=8)
    assert few.waiting_s > 2 * all_at_once.waiting_s
    assert few.makespan_s > all_at_once.makespan_s


def test_units_of_what_is_installed_come_first() -> None:
    load = Load(environments=8, cells=200, unit_cells=5)
    assert night(load, room=1).installs < night(load, room=1, by_environment=False).installs


def test_a_driver_that_is_slower_than_the_nodes_decides() -> None:
    outcome = night(record_s=5.0)
    assert outcome.makespan_s == pytest.approx(900 * 5.0, rel=0.05)
    assert outcome.behind > 600


def test_a_lost_node_costs_what_it_was_at() -> None:
    calm, lossy = night(), night(fails_after_s=200.0)
    assert lossy.failures > 0
    assert lossy.lost_s > 0
    assert lossy.makespan_s > calm.makespan_s


def test_what_it_rests_on_is_in_the_committed_tables() -> None:
    seen = recorded()
    assert len(seen.cells_s) > 1000
    assert 0 < seen.launch_s < 60
    assert 0 < seen.start_s < 600
    assert 0.2 < seen.timed < 1
    cost = costs(times=1)
    assert cost.light_bytes < cost.record_bytes
    assert 0 < cost.parquet_bytes < cost.cells_bytes < cost.light_bytes
