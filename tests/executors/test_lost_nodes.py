"""What becomes of cells whose nodes are lost, one after the other. What stands for Ray answers in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bench.attempt import Attempt
from harness.executors import flights, patience
from harness.executors.connecting import ClusterError, imported
from harness.executors.flights import Run
from harness.executors.orders import Begun, Ended, Message, Order, Part, Told
from harness.executors.parcel import parcel_of
from harness.executors.reserved import Reserved
from harness.executors.units import ChangedThereError, Unit
from harness.matrix.wholeness import Change
from tests.executors.orders import begun, make_python, own_plan, work_in

RAY: Any = SimpleNamespace(
    wait=lambda references, num_returns, timeout: (references, []),
    get=lambda reference: reference(),
    cancel=lambda generator, force: None,
    put=lambda part: part,
)


class Losing:
    """A cluster whose nodes begin, and then are no more."""

    jobs = 1

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def rooms(self, ray: Any) -> dict[str, int]:
        del ray
        return {"next": 1}

    def check(self, ray: Any, begun: Begun) -> None:
        """Any will do."""

    def order(self, ray: Any, order: Order, avoided: Any, given: Any = ()) -> Iterator[Callable[[], Begun]]:
        del ray, avoided, given
        self.orders.append(order)
        return self._carried_out(f"node{len(self.orders)}")

    @staticmethod
    def _carried_out(node: str) -> Iterator[Callable[[], Begun]]:
        yield lambda: Begun(node=node, node_id=f"{node}-of-ray", machine={"machine": {"cpu": "AMD EPYC"}})
        msg = "the node died"
        raise imported().exceptions.NodeDiedError(msg)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_python(tmp_path_factory.mktemp("ambient"))


@pytest.fixture
def unit(tmp_path: Path, python: Path) -> Unit:
    return begun(tmp_path, python, own_plan(tmp_path, saved="pass"))


def test_after_three_losses_cells_are_left_to_this_machine(unit: Unit, tmp_path: Path, python: Path) -> None:
    cluster, told = Losing(), list[str]()
    Run(cluster, RAY, work_in(tmp_path, python), parcel_of([unit.plan]), told.append).run([unit], lambda: True)
    assert [order.unit for order in cluster.orders] == [unit.name] * 3
    assert [line.partition(": ")[0] for line in told] == [
        "node node1 (node1-of) was lost, 1 cells are ordered anew",
        "node node2 (node2-of) was lost, 1 cells are ordered anew",
        "node node3 (node3-of) was lost, 1 cells run here, alone",
    ]
    assert not Attempt(unit.folder).recorded(unit.plan)


def test_after_three_losses_what_is_timed_on_a_class_is_timed_nowhere_else(
    unit: Unit, tmp_path: Path, python: Path
) -> None:
    cluster, told = Losing(), list[str]()
    reserved = Reserved(cluster, RAY, work_in(tmp_path, python), parcel_of([unit.plan]), told.append)
    with pytest.raises(ClusterError, match=r"node3-of.* was lost, as others were before it, with 1 cells to be timed"):
        reserved.alone(unit, lambda: None, only_waiting=False)
    assert [line.partition(": ")[0] for line in told] == [
        f"node node{number} (node{number}-of) was lost, 1 cells are timed on another of its class" for number in (1, 2)
    ]


CHANGE: dict[str, Any] = {"path": "lib/site-packages/theirs.py", "what": "edited", "package": "theirs", "changed": 2.5}


class Saying:
    """A cluster whose nodes say what they are given, one after the other, and are no more then unless it ended."""

    jobs = 1

    def __init__(self, *nodes: list[Message]) -> None:
        self.orders: list[Order] = []
        self._nodes = iter(nodes)

    def rooms(self, ray: Any) -> dict[str, int]:
        del ray
        return {"next": 1}

    def check(self, ray: Any, begun: Begun) -> None:
        """Any will do."""

    def order(self, ray: Any, order: Order, avoided: Any, given: Any = ()) -> Iterator[Callable[[], Message]]:
        del ray, given
        assert not avoided
        self.orders.append(order)
        return self._carried_out(f"node{len(self.orders)}", next(self._nodes))

    @staticmethod
    def _carried_out(node: str, messages: list[Message]) -> Iterator[Callable[[], Message]]:
        yield lambda: Begun(node=node, node_id=f"{node}-of-ray")
        for message in messages:
            yield lambda said=message: said  # type: ignore[misc]
        if not isinstance(messages[-1], Ended):
            msg = "the node died"
            raise imported().exceptions.NodeDiedError(msg)


def timed(unit: Unit, content: str) -> list[Message]:
    """What a node sends of a unit's cell, at work there from its second 2 to 3."""
    (cell,) = unit.plan.cells
    started, ended = (
        {"event": what, "at": at, "model": cell.model, "strategy": cell.strategy, "outcome": "failed"}
        for what, at in (("started", 2.0), ("ended", 3.0))
    )
    part = Part(path=f"records/{cell.slug}.json", content=content.encode())
    return [Told(events=(started,)), part, Told(events=(ended,))]


def test_cells_that_change_a_nodes_environment_are_left_to_this_machine(
    unit: Unit, tmp_path: Path, python: Path
) -> None:
    """Where it is found out which of them it was. The node mends it for its next order, and has that."""
    changed = Ended(trouble="torch2.0 changed there.", changed=True, changes=[CHANGE])
    cluster, told = Saying([changed]), list[str]()
    Run(cluster, RAY, work_in(tmp_path, python), parcel_of([unit.plan]), told.append).run([unit], lambda: True)
    assert len(cluster.orders) == 1
    assert told == [
        "node node1: torch2.0 changed there. 1 cells run here, alone, where it is found out which of them did it."
    ]
    assert not Attempt(unit.folder).recorded(unit.plan)


def test_what_a_lost_node_had_timed_is_timed_on_another(unit: Unit, tmp_path: Path, python: Path) -> None:
    """Nobody can say any more what environment it was timed in."""
    told, attempt = list[str](), Attempt(unit.folder)
    cluster = Saying(timed(unit, "of the lost"), [*timed(unit, "of the other"), Ended(state="running", whole=True)])
    reserved = Reserved(cluster, RAY, work_in(tmp_path, python), parcel_of([unit.plan]), told.append)
    reserved.alone(unit, lambda: None, only_waiting=False)
    assert [len(order.planned().cells) for order in cluster.orders] == [1, 1]
    assert [path.read_text() for path in attempt.records.iterdir()] == ["of the other"]
    assert len(told) == 1
    assert "1 cells are timed on another of its class" in told[0]


def test_what_was_timed_in_an_environment_that_changed_does_not_count(unit: Unit, tmp_path: Path, python: Path) -> None:
    """What changed, and when each cell was at work there, is what finds out which it was."""
    changed = Ended(trouble="torch2.0 changed there.", changed=True, changes=[CHANGE])
    reserved = Reserved(
        Saying([*timed(unit, "{}"), changed]), RAY, work_in(tmp_path, python), parcel_of([unit.plan]), print
    )
    with pytest.raises(ChangedThereError, match=r"node node1: torch2\.0 changed there\. What it timed") as found:
        reserved.alone(unit, lambda: None, only_waiting=False)
    (cell,) = unit.plan.cells
    assert found.value.changes == (Change(**CHANGE),)
    assert found.value.spans == {(cell.model, cell.strategy): [(2.0, 3.0)]}
    assert not Attempt(unit.folder).recorded(unit.plan)


class Answers:
    """What comes of an order, of which nobody hears more then: it goes on, or has not begun."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)

    def __next__(self) -> Callable[[], Message]:
        message = self.messages.pop(0)
        return lambda: message


class Busy:
    """A cluster of which `free` places are free for orders, while others have the rest.

    What is `said` of such an order is not its end.
    """

    jobs = 2

    def __init__(self, *, free: int, said: Sequence[Message] = ()) -> None:
        self._free = free
        self._said = said

    def rooms(self, ray: Any) -> dict[str, int]:
        del ray
        return {"node-of-ray": self.jobs}

    def check(self, ray: Any, begun: Begun) -> None:
        """Any will do."""

    def order(self, ray: Any, order: Order, avoided: Any, given: Any = ()) -> Answers:
        del ray, order, avoided, given
        self._free -= 1
        return Answers(Begun(node="node", node_id="node-of-ray"), *self._said) if self._free >= 0 else Answers()


def waited(references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
    """As Ray's: what is there at once, else nothing after a while."""
    del num_returns
    there = [each for each in references if not isinstance(each, Answers) or each.messages]
    time.sleep(0 if there else timeout)
    return there, []


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_TOLD_S", 0.1)
    monkeypatch.setattr(patience, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(flights, "_GRACE_S", 0.0)


def run_beside_others(
    folder: Path, python: Path, cluster: Busy, told: list[str], look: Callable[[], bool] = lambda: True
) -> None:
    """Have two units run on a cluster that others use."""
    plan = own_plan(folder, saved="pass")
    units = [begun(folder, python, plan, name) for name in ("0000", "0001")]
    ray: Any = SimpleNamespace(**{**vars(RAY), "wait": waited})
    Run(cluster, ray, work_in(folder, python), parcel_of([plan]), told.append).run(units, look)


@pytest.mark.usefixtures("little_patience")
def test_nodes_that_others_have_are_not_waited_for_in_silence_nor_for_ever(tmp_path: Path, python: Path) -> None:
    """What Ray says of its nodes is what they have, whoever has it."""
    told: list[str] = []
    with pytest.raises(ClusterError, match="no node had room for a cell"):
        run_beside_others(tmp_path, python, Busy(free=0), told)
    assert len(told) == 1
    assert told[0].startswith("waiting for room on a node: others use the CPUs or the memory of each")


@pytest.mark.usefixtures("little_patience")
def test_a_unit_that_waits_for_another_of_its_run_does_not_wait_for_others(tmp_path: Path, python: Path) -> None:
    told, until = list[str](), time.monotonic() + 1.0

    def look() -> bool:
        if time.monotonic() > until:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        run_beside_others(tmp_path, python, Busy(free=1), told, look)
    assert told == []


@pytest.mark.usefixtures("little_patience")
def test_what_was_timed_in_a_run_that_is_interrupted_does_not_count(unit: Unit, tmp_path: Path, python: Path) -> None:
    """It is told of, and nobody knows any more what environment it was timed in."""
    attempt = Attempt(unit.folder)
    ray: Any = SimpleNamespace(**{**vars(RAY), "wait": waited})
    cluster = Busy(free=1, said=timed(unit, "{}"))
    reserved = Reserved(cluster, ray, work_in(tmp_path, python), parcel_of([unit.plan]), print)

    def look() -> None:
        if "ended" in [event["event"] for event in attempt.told(unit.plan.cells[0])]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reserved.alone(unit, look, only_waiting=False)
    assert not attempt.recorded(unit.plan)
