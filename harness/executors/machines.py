"""Machine classes: nodes that somebody gave a label to, since what is timed on one of them holds for all of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.bench.environment import description
from harness.bench.errors import UsageError
from harness.tables.schema import memory_alike

_CONDITIONS = ("machine", "gpu", "driver", "loadavg")
_EXACTLY = ("cpu", "cores")

_GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class MachineClass:
    """The nodes whose Ray label `label` has the value `value`."""

    label: str
    value: str

    @classmethod
    def parse(cls, text: str, *, option: str = "--machine") -> MachineClass:
        """From the `LABEL=VALUE` of an option. Raises `UsageError` for anything else."""
        label, equals, value = text.partition("=")
        if not (label and equals and value):
            msg = f"{option} {text}: name a label of Ray's and its value, such as machine=m7i.4xlarge."
            raise UsageError(msg)
        return cls(label, value)

    def __str__(self) -> str:
        """As it is asked for: `machine=m7i.4xlarge`."""
        return f"{self.label}={self.value}"

    def has(self, node: Mapping[str, Any]) -> bool:
        """Whether a node, as Ray tells of it, is of the class."""
        return bool(node.get("Labels", {}).get(self.label) == self.value)

    def cpus(self, nodes: Sequence[Mapping[str, Any]]) -> float:
        """How many CPUs each node of the class has for Ray, of all `nodes` that are there.

        Raises `UsageError` where none is of the class, or they differ in that.
        """
        found = [node for node in nodes if self.has(node)]
        if not found:
            others = {node.get("Labels", {}).get(self.label) for node in nodes} - {None}
            there = f" There are {', '.join(f'{self.label}={value}' for value in sorted(others))}." if others else ""
            msg = f"no node of the cluster is labelled {self}.{there} Start one: `ray start --labels {self}`."
            raise UsageError(msg)
        first, *more = sorted({float(node["Resources"].get("CPU", 0.0)) for node in found})
        if more:
            told = " and ".join(f"{count:g}" for count in (first, *more))
            msg = f"nodes labelled {self} have {told} CPUs. Give each kind of machine a label of its own."
            raise UsageError(msg)
        return first

    def require_alike(self, one: Mapping[str, Any], other: Mapping[str, Any], *, node: str) -> None:
        """Raise `UsageError` where what `node` says of itself is not what another node of the class said: `one`."""
        if told := differences(one, other):
            msg = (
                f"node {node} is labelled {self} and is another machine: {'; '.join(told)}. Numbers of both in one "
                "table would be compared: give each kind of machine a label of its own."
            )
            raise UsageError(msg)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what two machines differ whose numbers do not compare, as `conditions` or attempts tell of them."""
    before, after = one.get("machine"), other.get("machine")
    if not before or not after:
        return []
    found = [f"{name}: {before[name]} and {after[name]}" for name in _EXACTLY if before[name] != after[name]]
    if not memory_alike(before["memory_mb"], after["memory_mb"]):
        found.append(f"memory: {before['memory_mb']} MiB and {after['memory_mb']} MiB")
    of_gpu = [name for name in ("gpu", "driver") if one.get(name) != other.get(name)]
    return found + [f"{name}: {_shown(one.get(name))} and {_shown(other.get(name))}" for name in of_gpu]


def _shown(value: object) -> str:
    return str(value.get("name")) if isinstance(value, Mapping) else str(value or "none")


def conditions() -> dict[str, Any]:
    """What a run's record says of the machine that this process is on, whatever Ray keeps from the process."""
    hidden = os.environ.get(_GPUS) == ""  # Ray, for what asks for no GPU
    if hidden:
        del os.environ[_GPUS]
    try:
        told = description()
    finally:
        if hidden:
            os.environ[_GPUS] = ""
    return {name: told[name] for name in _CONDITIONS}
