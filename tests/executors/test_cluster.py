"""Cells on the nodes of a real Ray cluster on this machine: real benches, with a stand-in for torch."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.attempts.execution import execute
from harness.attempts.settling import table_of
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt, State
from harness.bench.errors import UsageError
from harness.executors import flights as module
from harness.executors.cluster import RayCluster
from harness.executors.connecting import ClusterError
from harness.executors.local import Local
from harness.executors.units import Executor
from tests.attempts.conftest import Observer, running
from tests.executors.clusters import Nodes, nodes
from tests.executors.orders import PLACES, begun, make_python, own_plan, work_in

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_python(tmp_path_factory.mktemp("ambient"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node-cache")


@pytest.fixture(scope="module")
def cluster(cache: Path) -> Iterator[Nodes]:
    with nodes(2, cache) as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def task(folder: Path, python: Path) -> Task:
    """Two models, each by a step that comes through, and keeps the variables that it sees, and by one that does not."""
    seeing = f"import json, os; open('{folder}/seen.json', 'w').write(json.dumps(dict(os.environ)))"
    plan = own_plan(folder, models=("one", "two"), saved=seeing, refusing="raise ValueError('no such operator')")
    return Task(plan=replace(plan, times=True), interpreter=python)


Ends = dict[tuple[str, str], tuple[str, str, str | None]]


def _ends(folder: Path, task: Task, executor: Executor, observer: Observer | None = None) -> Ends:
    """What the cells came to, after as many as were planned were recorded."""
    durations = {(cell.model, cell.strategy): 10.0 for cell in task.plan.cells}
    with contextlib.ExitStack() as holds:
        attempt = execute(
            folder, task, observer or Observer(), holds, run="one", restart=True, executor=executor, durations=durations
        )
        assert attempt.state is State.ENDED
        table = table_of([attempt], pins={})
    assert table.run.complete
    assert table.run.planned == table.run.recorded == len(table.records) == len(task.plan.cells)
    return {(r.model, r.strategy): (r.outcome.value, r.stage.value, r.fingerprint) for r in table.records}


def _seen(folder: Path) -> dict[str, str]:
    seen: dict[str, str] = json.loads((folder / "seen.json").read_text(encoding="utf-8"))
    return {name: value for name, value in seen.items() if name not in PLACES}


@pytest.fixture(scope="module")
def wanted(folder: Path, task: Task) -> tuple[Ends, dict[str, str]]:
    """What the cells come to one after another on this machine, and the variables that they see."""
    ends = _ends(folder, task, Local(1))
    assert {outcome for outcome, *_ in ends.values()} == {"passed", "failed"}
    return ends, _seen(folder)


def ray_cluster(cluster: Nodes, task: Task, told: list[str]) -> RayCluster:
    return RayCluster(cluster.address, task.plan.policy, device="cpu", tell=told.append)


def test_cells_on_two_nodes_come_to_what_they_come_to_here(
    folder: Path, task: Task, wanted: tuple[Ends, dict[str, str]], cluster: Nodes
) -> None:
    told: list[str] = []
    (folder / "seen.json").unlink()
    executor = ray_cluster(cluster, task, told)
    assert executor.jobs == 2
    paths, variables = list(sys.path), set(os.environ)
    assert (_ends(folder, task, executor), _seen(folder)) == wanted
    assert told == []
    assert sys.path == paths, "what Ray puts on the path is taken off again"
    assert not [name for name in os.environ.keys() - variables if not name.startswith("RAY_")]


def test_whoever_is_interrupted_leaves_nothing_at_work(
    tmp_path: Path, python: Path, cluster: Nodes, cache: Path
) -> None:
    unit = begun(tmp_path, python, own_plan(tmp_path, slow="import time; time.sleep(60)"))
    executor = RayCluster(cluster.address, unit.plan.policy, device="cpu", tell=print)

    def look() -> bool:
        if Attempt(unit.folder).events.exists():
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        executor.run([unit], work_in(tmp_path, python), look)
    assert not running(str(cache / "units"))


class Killing(Observer):
    """Kills two nodes as soon as a cell is under way."""

    def __init__(self, cluster: Nodes) -> None:
        super().__init__()
        self._cluster = cluster

    def started(self, model: str, strategy: str) -> None:
        super().started(model, strategy)
        while len(self._cluster.nodes) > 1:
            self._cluster.kill(self._cluster.nodes[0])


def test_cells_of_nodes_that_are_killed_run_on_another(
    folder: Path, task: Task, wanted: tuple[Ends, dict[str, str]], cluster: Nodes, cache: Path
) -> None:
    cluster.add()
    told: list[str] = []
    executor = ray_cluster(cluster, task, told)
    assert executor.jobs == 3
    ends = _ends(folder, task, executor, Killing(cluster))
    assert ends == wanted[0]
    assert [text for text in told if "was lost" in text], told
    assert not running(str(cache / "units"))


@pytest.mark.long
def test_a_node_that_cannot_do_it_gets_no_further_cells(
    folder: Path, task: Task, wanted: tuple[Ends, dict[str, str]], cluster: Nodes
) -> None:
    """With one other node, each gets one of the two units."""
    broken = cluster.add(env_vars={"HARNESS_NODE_CACHE": "/proc/none"})
    told: list[str] = []
    try:
        assert _ends(folder, task, ray_cluster(cluster, task, told)) == wanted[0]
    finally:
        cluster.kill(broken)
    assert [text for text in told if text.endswith("'/proc/none'. It gets no further cells.")], told


@pytest.mark.long
def test_a_run_that_has_only_nodes_left_that_cannot_do_it_ends(
    tmp_path: Path, python: Path, cluster: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COUNT_S", 0.5)
    monkeypatch.setattr(module, "_PATIENCE_S", 3.0)
    plan = own_plan(tmp_path, models=("one", "two"), slow="import time; time.sleep(60)")
    units = [
        begun(tmp_path, python, replace(plan, cells=(cell,)), f"{number:04}") for number, cell in enumerate(plan.cells)
    ]
    while len(cluster.nodes) > 1:  # each of the two that are left gets one of the two units
        cluster.kill(cluster.nodes[0])
    broken = cluster.add(env_vars={"HARNESS_NODE_CACHE": "/proc/none"})
    told: list[str] = []

    def look() -> bool:
        working = any(Attempt(unit.folder).events.exists() for unit in units)
        if working and any("It gets no further cells" in text for text in told):
            for node in [node for node in cluster.nodes if node is not broken]:
                cluster.kill(node)
        return True

    try:
        with pytest.raises(ClusterError, match="there has been no node that could run what is left"):
            RayCluster(cluster.address, plan.policy, device="cpu", tell=told.append).run(
                units, work_in(tmp_path, python), look
            )
    finally:
        cluster.kill(broken)
        cluster.add()


def test_limits_that_no_node_meets_are_told(cluster: Nodes, tmp_path: Path) -> None:
    policy = own_plan(tmp_path, memory_mb=10**6).policy
    with pytest.raises(
        UsageError, match=r"no node of the cluster has 1 CPUs and 1000000 MiB .* Lower `memory_limit_mb`"
    ):
        RayCluster(cluster.address, policy, device="cpu", tell=print)
