"""Machine classes, as Ray tells of its nodes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.bench.environment import description
from harness.bench.errors import UsageError
from harness.executors.machines import MachineClass, conditions, differences

FAST = MachineClass("machine", "fast")
HERE = {"machine": {"cpu": "Xeon", "cores": 8, "memory_mb": 64000, "os": "Linux 6.1"}, "gpu": None, "driver": None}


def node(cpus: float = 8.0, **labels: str) -> dict[str, Any]:
    return {"Labels": labels, "Resources": {"CPU": cpus}}


def test_a_class_is_a_label_and_its_value() -> None:
    assert MachineClass.parse("machine=fast") == FAST
    assert str(MachineClass.parse("a/b=c=d")) == "a/b=c=d"
    assert FAST.has(node(machine="fast"))
    assert not FAST.has(node(machine="slow"))
    assert not FAST.has({"Resources": {}}), "nodes of an old Ray have no labels"


@pytest.mark.parametrize("text", ["fast", "machine=", "=fast"])
def test_what_names_no_label_is_told(text: str) -> None:
    with pytest.raises(UsageError, match=r"name a label of Ray's and its value"):
        MachineClass.parse(text)


def test_a_class_without_nodes_or_of_different_ones_is_told() -> None:
    assert FAST.cpus([node(machine="fast"), node(2.0, machine="slow"), node(4.0)]) == 8.0
    with pytest.raises(UsageError, match=r"labelled machine=fast\. There are machine=slow\. Start one"):
        FAST.cpus([node(machine="slow"), node()])
    with pytest.raises(UsageError, match="have 4 and 8 CPUs"):
        FAST.cpus([node(8.0, machine="fast"), node(4.0, machine="fast")])


def _like(**changed: Any) -> dict[str, Any]:
    return {**HERE, "machine": {**HERE["machine"], **changed}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (_like(memory_mb=63990, os="Linux 6.2"), ""),
        (_like(cpu="EPYC"), "cpu: Xeon and EPYC"),
        (_like(cores=4), "cores: 8 and 4"),
        (_like(memory_mb=32000), "memory: 64000 MiB and 32000 MiB"),
        ({**HERE, "gpu": {"name": "H200"}, "driver": "550"}, "gpu: none and H200; driver: none and 550"),
    ],
)
def test_machines_differ_in_what_moves_numbers(other: dict[str, Any], told: str) -> None:
    assert "; ".join(differences(HERE, other)) == told
    if not told:
        FAST.require_alike(HERE, other, node="n1")
        return
    with pytest.raises(UsageError, match="node n1 is labelled machine=fast and is another machine"):
        FAST.require_alike(HERE, other, node="n1")


def test_a_node_says_what_a_run_there_would_say(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = description()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # as Ray has it for what asks for no GPU
    told = conditions()
    assert {**told, "loadavg": None} == {name: wanted.get(name) for name in told} | {"loadavg": None}
