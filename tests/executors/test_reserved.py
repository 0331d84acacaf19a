"""What is timed on a node that it has to itself, on a real Ray cluster on this machine."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from harness.attempts.carrying import Carrier, tables_of
from harness.attempts.execution import execute
from harness.attempts.settling import settle, table_of
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt, State
from harness.bench.environment import description
from harness.bench.errors import UsageError
from harness.executors import describing
from harness.executors.cluster import RayCluster
from harness.executors.machines import MachineClass
from harness.executors.orders import Order
from harness.executors.parcel import parcel_of
from harness.matrix.environment import clean_environ
from harness.tables.ingredients import Surroundings
from harness.tables.schema import Table
from harness.tables.writing import write_table
from tests.attempts.conftest import Observer, running
from tests.attempts.worlds import quiet_night
from tests.executors.clusters import FAST, FAST_CPUS, Nodes, nodes
from tests.executors.orders import begun, make_python, own_plan, work_in

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]

CUDA = "/where/no/other/has/it"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_python(tmp_path_factory.mktemp("ambient"))


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(scope="module")
def cluster(caches: Path) -> Iterator[Nodes]:
    """A node of no class, and one of the class with more CPUs than a cell has."""
    with nodes(1, caches / "other") as started:
        started.add_fast(caches / "fast", CUDA_HOME=CUDA)
        yield started


@pytest.fixture
def task(tmp_path: Path, python: Path) -> Task:
    """Two models, each by a step that comes through and by one that does not; served, they say on which node."""
    plan = own_plan(tmp_path, models=("one", "two"), saved="pass", refusing="raise ValueError('no such operator')")
    runtime = tmp_path / "plugins" / "runtimes" / "quick.py"
    # Named whole, the file would be data of the runtime, with a say in its cells.
    seen = f"open({str(tmp_path)!r} + '/' + 'seen', 'a').write(os.environ['HARNESS_NODE_CACHE'] + '\\n')"
    text = runtime.read_text(encoding="utf-8").replace(
        "def load(artifact, device, threads, build):", f"def load(artifact, device, threads, build):\n    {seen}"
    )
    assert seen in text
    runtime.write_text(text, encoding="utf-8")
    return Task(plan=replace(plan, times=True), interpreter=python)


class Timing(Observer):
    """Asks Ray, while a cell is timed, how many CPUs the nodes have free; then does what is to be done."""

    def __init__(self) -> None:
        super().__init__()
        self.free: list[float] = []

    def timing(self, model: str, strategy: str) -> None:
        super().timing(model, strategy)
        ray: Any = importlib.import_module("ray")
        self.free.append(ray.available_resources().get("CPU", 0.0))


def executed(
    folder: Path, task: Task, executor: RayCluster, observer: Observer, carrier: Carrier | None = None, run: str = "one"
) -> tuple[Attempt, Table]:
    durations = {(cell.model, cell.strategy): 10.0 for cell in task.plan.cells}
    with contextlib.ExitStack() as holds:
        attempt = execute(
            folder, task, observer, holds, run=run, executor=executor, durations=durations, carrier=carrier
        )
        assert attempt.state is State.ENDED
        table = table_of([attempt], pins={})
    assert table.run.complete
    return attempt, table


def test_cells_of_a_class_run_and_are_timed_on_its_nodes_alone(
    tmp_path: Path, task: Task, cluster: Nodes, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = description()
    other = {**here, "machine": {**here["machine"], "cpu": "the one of the command's machine"}}
    monkeypatch.setattr("harness.attempts.tasks.description", lambda: other)
    told: list[str] = []
    executor = RayCluster(cluster.address, task.plan.policy, device="cpu", tell=told.append, machine=FAST)
    assert executor.jobs == FAST_CPUS, "only nodes of the class count"
    observer = Timing()
    attempt, table = executed(tmp_path, task, executor, observer, Carrier(root=tmp_path))
    ends = {(record.model, record.strategy): record for record in table.records}
    assert sorted(record.outcome.value for record in ends.values()) == ["failed", "failed", "passed", "passed"]
    assert all(record.latency_ms for record in ends.values() if record.outcome.value == "passed")
    assert observer.free == [1.0, 1.0], "of three CPUs, only that of the other node is free"
    assert set((tmp_path / "seen").read_text().split()) == {str(caches / "fast")}
    assert not attempt.has_waiting()
    assert asdict(table.run.machine) == here["machine"], "it is the node's"
    assert told == []
    assert not running(str(caches))

    found = table.ingredients[""]
    assert found.surroundings()["variables"].keys().isdisjoint({"CUDA_HOME"})
    (there,) = found.elsewhere.values()
    assert "CUDA_HOME" in there["variables"]
    assert len(found.ran_on) == len(table.records), "each is of the node that it ran on"
    settle([attempt], write_table(tmp_path / "results", table))
    tables, night = tables_of([tmp_path / "results"], "small"), quiet_night(task.plan)
    carrier = Carrier(root=tmp_path, tables=tables, night=night)
    _, again = executed(tmp_path, task, executor, Observer(), carrier, run="two")
    assert again.run.carried == len(again.records)
    assert [each.identity for each in again.records] == [each.identity for each in table.records]
    assert told == ["asking 1 nodes what they are made of, once small is installed on each"]


class Killing(Observer):
    """Kills the nodes that are given as soon as a cell is timed, and starts another one."""

    def __init__(self, cluster: Nodes, caches: Path, doomed: list[Any]) -> None:
        super().__init__()
        self._cluster, self._caches, self._doomed = cluster, caches, doomed

    def timing(self, model: str, strategy: str) -> None:
        super().timing(model, strategy)
        while self._doomed:
            self._cluster.kill(self._doomed.pop())
            self._cluster.add_fast(self._caches / "another", CUDA_HOME=CUDA)


@pytest.mark.long
def test_what_a_lost_node_had_not_timed_is_timed_on_another_of_its_class(
    tmp_path: Path, task: Task, cluster: Nodes, caches: Path
) -> None:
    told: list[str] = []
    executor = RayCluster(cluster.address, task.plan.policy, device="cpu", tell=told.append, machine=FAST)
    observer = Killing(cluster, caches, cluster.nodes[1:])
    attempt, table = executed(tmp_path, task, executor, observer)
    assert sorted(record.outcome.value for record in table.records) == ["failed", "failed", "passed", "passed"]
    assert set((tmp_path / "seen").read_text().split()) == {str(caches / "fast"), str(caches / "another")}
    assert [text for text in told if "was lost" in text and "timed on another of its class" in text], told
    ended = [line for line in observer.told if line.startswith("ended")]
    assert len(ended) == len(set(ended)) == len(task.plan.cells)
    assert not attempt.has_waiting()


def test_a_class_that_no_node_is_of_is_told(cluster: Nodes, tmp_path: Path) -> None:
    policy = own_plan(tmp_path).policy
    with pytest.raises(
        UsageError, match=r"no node .* labelled machine=slow\. There are machine=fast\. Start one: `ray"
    ):
        RayCluster(cluster.address, policy, device="cpu", tell=print, machine=MachineClass("machine", "slow"))


def test_a_node_is_not_asked_what_it_is_made_of_while_somebody_has_it_alone(
    tmp_path: Path, python: Path, cluster: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describing, "_BEGINS_S", 3.0)
    told: list[str] = []
    unit = begun(tmp_path, python, own_plan(tmp_path))
    parcel, policy = parcel_of([unit.plan]), unit.plan.policy
    executor = RayCluster(cluster.address, policy, device="cpu", tell=told.append, machine=FAST)
    order = Order.of(unit, (), work_in(tmp_path, python), parcel, environ=clean_environ(pinned=False), asks=True)
    with executor.travelled(parcel) as ray:

        def asked() -> list[Surroundings]:
            room = {"num_cpus": policy.threads, "memory": policy.memory_limit_mb * 2**20, "num_gpus": 0}
            return describing.ask(ray, order, sorted(executor.rooms(ray)), room=room, tell=told.append)

        station = executor.station(ray, [])
        node = ray.get(station.who.remote())
        assert asked() == []
        (line,) = told
        assert line.startswith(f"node {node.node_id[:8]} does not say what it is made of")
        assert "since others use it" in line
        ray.kill(station)
        monkeypatch.undo()
        (found,) = asked()
    assert found["variables"]["CUDA_HOME"]
