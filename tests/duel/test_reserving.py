"""Duels whose pairs are taken on a node that they have to themselves, on a real Ray cluster on this machine."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness import cli
from harness.attempts.tasks import Task
from harness.bench.environment import description
from harness.cli.clustering import Elsewhere
from harness.duel.contesting import PAIRS_FILE, Rules
from harness.duel.deciding import Decision
from harness.duel.grounds import TakesPairs
from harness.duel.pairing import Pair, Turns
from harness.duel.preparing import ReadyCell
from harness.duel.reserving import ReservedNode
from harness.duel.sequential import Design
from harness.executors.cluster import RayCluster
from harness.report.duel import as_text
from tests.attempts.conftest import Observer, running
from tests.duel.sides import BUSY, fight, slowed, task_of
from tests.executors.clusters import FAST, Nodes, nodes
from tests.executors.orders import make_python

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]

RULES = Rules(design=Design(looks=(6,)), turns=Turns(blocks=3, turn_s=0.002), budget_s=300.0)


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
        started.add_fast(caches / "fast")
        yield started


@pytest.fixture
def tasks(tmp_path: Path, python: Path) -> list[Task]:
    """Two sides of one cell, of which the second takes twice as long; converted and served, each says on which node."""
    found = []
    for name, body in (("before", BUSY), ("after", slowed(1.0))):
        task = task_of(tmp_path, python, name, {"same": body})
        for part, before in (("steps/saved", "    path ="), ("runtimes/same", "    return Session(")):
            file = tmp_path / f"plugins-{name}" / f"{part}.py"
            seen = f"import os; open({str(tmp_path / part[:5])!r}, 'a').write(os.environ['HARNESS_NODE_CACHE'] + '\\n')"
            text = file.read_text(encoding="utf-8")
            assert before in text
            file.write_text(text.replace(before, f"    {seen}\n{before}"), encoding="utf-8")
        found.append(task)
    return found


class Pairs(ReservedNode):
    """Asks Ray before each pair how many CPUs are free, and calls `before`; half a second later it calls `during`."""

    def __init__(
        self, executor: RayCluster, before: Callable[[], None] = lambda: None, during: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(executor)
        self.free: list[float] = []
        self._do = before, during

    @contextlib.contextmanager
    def pairing(self, *given: Any) -> Iterator[TakesPairs]:
        with super().pairing(*given) as pairs:
            yield _Watched(pairs, self.free, *self._do)


class _Watched:
    def __init__(
        self, pairs: TakesPairs, free: list[float], before: Callable[[], None], during: Callable[[], None]
    ) -> None:
        self._pairs, self._free, self._before, self._during = pairs, free, before, during

    def take(self, sides: tuple[ReadyCell, ReadyCell], *, chance: random.Random, until: float = math.inf) -> Pair:
        ray: Any = importlib.import_module("ray")
        self._free.append(ray.available_resources().get("CPU", 0.0))
        self._before()
        timer = threading.Timer(0.1, self._during)  # a pair takes half a second
        timer.start()
        try:
            return self._pairs.take(sides, chance=chance, until=until)
        finally:
            timer.join()


def seen(folder: Path) -> set[str]:
    """On which nodes cells were converted, and served."""
    return {line for part in ("steps", "runti") for line in (folder / part).read_text(encoding="utf-8").split()}


def test_cells_are_converted_on_nodes_of_the_class_and_pairs_are_taken_on_one_alone(
    tmp_path: Path, tasks: list[Task], cluster: Nodes, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = description()
    other = {**here["machine"], "cpu": "the one of the command's machine"}
    monkeypatch.setattr("harness.attempts.tasks.description", lambda: {**here, "machine": other})
    monkeypatch.setattr("harness.duel.machines.machine", lambda: other)
    told: list[str] = []
    executor = RayCluster(cluster.address, tasks[0].plan.policy, device="cpu", tell=told.append, machine=FAST)
    ground = Pairs(executor)
    observer = Observer()
    duel = fight(tmp_path, tasks, RULES, observer, elsewhere=Elsewhere(executor_of=lambda _: executor, ground=ground))
    (cell,) = duel.decisions.values()
    assert (cell.decision, cell.pairs, duel.pairs) == (Decision.SLOWER, 6, 6), as_text(duel)
    assert seen(tmp_path) == {str(caches / "fast")}
    assert ground.free == [1.0] * 6, "of three CPUs, only that of the other node is free"
    assert duel.machine["cpu"] == here["machine"]["cpu"], "it is the node's"
    assert len(duel.nodes) == 1
    assert f"Machine: {here['machine']['cpu']}, " in as_text(duel)
    assert f"on node {duel.nodes[0]}" in as_text(duel)
    pairs = (duel.folder / PAIRS_FILE).read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["node"] for line in pairs} == set(duel.nodes)
    assert told == []
    assert not running(str(caches))
    assert not list((tmp_path / ".harness" / "attempts").glob("*/*/waiting"))


@pytest.mark.long
def test_the_pair_of_a_lost_node_is_taken_again_on_another_of_its_class(
    tmp_path: Path, tasks: list[Task], cluster: Nodes, caches: Path
) -> None:
    doomed = cluster.nodes[1:]

    def add() -> None:
        if doomed:
            cluster.add_fast(caches / "another")

    def kill() -> None:
        while doomed:
            cluster.kill(doomed.pop())

    executor = RayCluster(cluster.address, tasks[0].plan.policy, device="cpu", tell=print, machine=FAST)
    observer = Observer()
    duel = fight(
        tmp_path,
        tasks,
        RULES,
        observer,
        elsewhere=Elsewhere(executor_of=lambda _: executor, ground=Pairs(executor, add, kill)),
    )
    (cell,) = duel.decisions.values()
    assert (cell.decision, cell.pairs, duel.pairs) == (Decision.SLOWER, 6, 6), as_text(duel)
    assert seen(tmp_path) == {str(caches / "fast"), str(caches / "another")}
    assert [line for line in observer.told if "was lost, what it was doing is done again" in line], observer.told
    assert len(duel.nodes) == 1, "the first one was lost with its first pair"
    assert not running(str(caches))


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("machine=slow", "no node of the cluster is labelled machine=slow. There are machine=fast."),
        ("machine=fast", "torch2.0"),
    ],
)
def test_a_verdict_says_at_once_that_no_node_has_the_label_of_its_duel(
    tmp_path: Path, cluster: Nodes, label: str, told: str
) -> None:
    """What it has no table of comes after it."""
    words = ["gate", "torch2.0", "torch2.1", "--duel", "--duel-machine", label, "--duel-address", cluster.address]
    done = CliRunner().invoke(cli.cli, ["--root", str(tmp_path), *words])
    assert done.exit_code == 2, done.output
    assert told in done.output
    assert ("labelled" in done.output) == (label == "machine=slow")
