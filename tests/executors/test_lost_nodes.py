"""What becomes of cells whose nodes are lost, one after the other. What stands for Ray answers in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bench.attempt import Attempt
from harness.executors.connecting import ClusterError, imported
from harness.executors.flights import Run
from harness.executors.orders import Begun, Order
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
