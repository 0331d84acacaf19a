"""What becomes of cells whose nodes are lost, one after the other. What stands for Ray answers in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bench.attempt import Attempt
from harness.executors import flights, patience
from harness.executors.connecting import ClusterError, imported
from harness.executors.flights import Run
from harness.executors.orders import Begun, Message, Order
from harness.executors.parcel import parcel_of
from harness.executors.reserved import Reserved
from harness.executors.units import Unit
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


class Answers:
    """What comes of an order, of which nobody hears more then: it goes on, or has not begun."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)

    def __next__(self) -> Callable[[], Message]:
        message = self.messages.pop(0)
        return lambda: message


class Busy:
    """A cluster of which `free` places are free for orders, while others have the rest."""

    jobs = 2

    def __init__(self, *, free: int) -> None:
        self._free = free

    def rooms(self, ray: Any) -> dict[str, int]:
        del ray
        return {"node-of-ray": self.jobs}

    def check(self, ray: Any, begun: Begun) -> None:
        """Any will do."""

    def order(self, ray: Any, order: Order, avoided: Any, given: Any = ()) -> Answers:
        del ray, order, avoided, given
        self._free -= 1
        return Answers(Begun(node="node", node_id="node-of-ray")) if self._free >= 0 else Answers()


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
