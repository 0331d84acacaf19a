"""Units on the nodes of a Ray cluster: `conversion-harness[ray]`.

Ray brings the harness and a user's code to each node, decides where an order is carried out, and tells of nodes that
are lost. Everything else is the harness's own: cells that a lost node had not ended are ordered anew, of a cell the
first whole result counts, and nothing of what Ray sets in its processes reaches a bench.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.bench.errors import UsageError
from harness.bench.plan import Policy
from harness.executors.answering import Answerer
from harness.executors.connecting import ClusterError, connected, imported
from harness.executors.describing import ask
from harness.executors.flights import Run
from harness.executors.local import Local
from harness.executors.machines import MachineClass, conditions
from harness.executors.orders import Begun, Message, Order, Post
from harness.executors.parcel import Parcel, pack, parcel_of
from harness.executors.reserved import Reserved
from harness.executors.units import Unit, Work
from harness.matrix.environment import clean_environ
from harness.tables.ingredients import Surroundings

_MIB = 2**20
_ANSWER_S = 60.0
_LOCAL = re.compile(r"^# package: (\S+) |(\S+) @ file:", re.MULTILINE)


class RayCluster:
    """Has units run on the nodes of a cluster; `address` is Ray's, and without one Ray finds a cluster or starts one.

    Each unit has `policy.threads` cores and `policy.memory_limit_mb` of its node's memory to itself, and on a `device`
    that is no CPU one GPU. `tell` is told what a person should know. With a `machine` all of it is on nodes of that
    class, and what is timed has one of them to itself; without, it is timed on this machine.
    """

    def __init__(
        self,
        address: str | None,
        policy: Policy,
        *,
        device: str,
        tell: Callable[[str], None],
        machine: MachineClass | None = None,
    ) -> None:
        self._address = address
        self._policy = policy
        self._gpus = 0 if device == "cpu" else 1
        self._tell = tell
        self._machine = machine
        self._cpus = 0.0
        self._conditions: Mapping[str, Any] = {}
        with self.travelled(parcel_of([]) if machine else None) as ray:
            if machine:
                self._cpus = machine.cpus(_alive(ray))
            self._jobs = sum(self.rooms(ray).values())
            if self._jobs and machine:
                self._conditions = self._told_by_one(ray, machine)
        if not self._jobs:
            node = f"node labelled {machine}" if machine else "node of the cluster"
            msg = (
                f"no {node} has {policy.threads} CPUs and {policy.memory_limit_mb} MiB of memory free for one cell. "
                "Lower `memory_limit_mb` or `threads` of [policy], or start nodes with more (`ray start "
                "--num-cpus --memory`)."
            )
            raise UsageError(msg)
        if self._jobs == 1 and not machine:
            tell("the cluster has room for one cell at a time, and so has this machine: cells run here")

    @property
    def jobs(self) -> int:
        """How many units its nodes could run side by side when they were asked."""
        return self._jobs

    @property
    def conditions(self) -> Mapping[str, Any]:
        """What a node of the machine class says of itself."""
        return self._conditions

    def rooms(self, ray: ModuleType) -> dict[str, int]:
        """How many units each node that is there could run side by side, where that is any, by Ray's identities."""
        needed = self._needed()
        asked = {"CPU": needed["num_cpus"], "memory": needed["memory"], "GPU": needed["num_gpus"]}
        found = {
            node["NodeID"]: int(
                min(node["Resources"].get(name, 0.0) // least for name, least in asked.items() if least)
            )
            for node in _alive(ray)
            if self._machine is None or self._machine.has(node)
        }
        return {node: room for node, room in found.items() if room}

    def _needed(self) -> dict[str, int]:
        memory = self._policy.memory_limit_mb * _MIB
        return {"num_cpus": self._policy.threads, "memory": memory, "num_gpus": self._gpus}

    def surroundings(self, unit: Unit, work: Work, here: Surroundings) -> Sequence[Surroundings]:
        """Those on each node that is there; and of this machine, which runs what is too little to be divided.

        With a machine class, nothing runs here.
        """
        if not self._machine and (self._jobs == 1 or _of_this_machine(work)):
            return [here]
        parcel = parcel_of([unit.plan])
        with self.travelled(parcel) as ray:
            order = Order.of(unit, (), work, parcel, environ=clean_environ(pinned=bool(work.lock)), asks=True)
            nodes = sorted(self.rooms(ray))
            self._tell(f"asking {len(nodes)} nodes what they are made of, once {work.name} is installed on each")
            found = ask(ray, order, nodes, room=self._needed(), tell=self._tell)
        return found if self._machine else [here, *found]

    def run(self, units: Sequence[Unit], work: Work, look: Callable[[], bool]) -> None:
        """As `harness.executors.units.Executor` says; what has lost more than two nodes is left to this machine.

        Raises `UsageError` for an environment that no other machine can install, and `InfrastructureError` where no
        node is left that can do what was ordered.
        """
        refuse_local(work)
        parcel = parcel_of([unit.plan for unit in units])
        with self.travelled(parcel) as ray:
            Run(self, ray, work, parcel, self._tell).run(units, look)

    def alone(self, unit: Unit, work: Work, look: Callable[[], None], *, only_waiting: bool = False) -> int:
        """As `harness.executors.units.Executor` says: on a node of the machine class, or here without one.

        Raises as `run` does, `ClusterError` where no such node was free for long or one was lost too often, and
        `UsageError` for a node that is another machine than the class was known to be of.
        """
        if self._machine is None:
            return Local(1).alone(unit, work, look, only_waiting=only_waiting)
        refuse_local(work)
        parcel = parcel_of([unit.plan])
        with self.travelled(parcel) as ray:
            return Reserved(self, ray, work, parcel, self._tell).alone(unit, look, only_waiting=only_waiting)

    def order(self, ray: ModuleType, order: Order, avoided: Sequence[str], given: Sequence[Any] = ()) -> Any:
        """Have an order carried out by whichever node has room; a generator of references to messages.

        `given` are references to the files that its attempt has from the beginning.
        """
        options = {**self._where(avoided, alone=order.alone), "max_retries": 0, "num_returns": "streaming"}
        options["_generator_backpressure_num_objects"] = 16
        return _remote(ray).options(**options).remote(order, list(given))

    def station(self, ray: ModuleType, avoided: Sequence[str]) -> Any:
        """Have a node of the machine class to oneself, while what is returned is there: a `Station`, as Ray's actor."""
        return ray.remote(Station).options(**self._where(avoided, alone=True), max_restarts=0).remote()

    def _where(self, avoided: Sequence[str], *, alone: bool) -> dict[str, Any]:
        """What Ray has to find for one that is ordered.

        One that is to be `alone` gets all CPUs of its node, so that Ray places nothing of anybody's there meanwhile.
        """
        options: dict[str, Any] = self._needed()
        selector = {"ray.io/node-id": f"!in({','.join(avoided)})"} if avoided else {}
        if self._machine is not None:
            selector[self._machine.label] = self._machine.value
        if selector:
            options["label_selector"] = selector
        if alone:
            options["num_cpus"] = self._cpus
        return options

    def check(self, ray: ModuleType, begun: Begun) -> None:
        """Raise `UsageError` where a node that has begun is another machine than the class is of."""
        if self._machine is not None:
            self._machine.cpus(_alive(ray))  # one that came since with more of them would not be had alone
            self._machine.require_alike(self._conditions, begun.machine, node=begun.node)

    def _told_by_one(self, ray: ModuleType, machine: MachineClass) -> dict[str, Any]:
        """What the nodes of the class say of themselves, by the first of them, after all were found alike."""
        from ray.exceptions import RayError

        ask = ray.remote(conditions)
        nodes = sorted(self.rooms(ray))
        # Whatever has its CPUs, a node answers.
        asked = [ask.options(num_cpus=0, label_selector={"ray.io/node-id": node}).remote() for node in nodes]
        try:
            first, *others = ray.get(asked, timeout=_ANSWER_S)
        except RayError as error:
            msg = f"a node labelled {machine} does not say what machine it is: {type(error).__name__}."
            raise ClusterError(msg) from None
        for node, told in zip(nodes[1:], others, strict=True):
            machine.require_alike(first, told, node=node[:8])
        return dict(first)

    @contextlib.contextmanager
    def travelled(self, parcel: Parcel | None) -> Iterator[ModuleType]:
        """Ray, connected, with what is in the parcel on each node that gets an order."""
        with contextlib.ExitStack() as stack:
            archive = None
            if parcel is not None:
                archive = Path(stack.enter_context(tempfile.TemporaryDirectory()), "harness.zip")
                pack(parcel, archive)
            yield stack.enter_context(connected(self._address, archive))


def require_class(address: str | None, machine: MachineClass) -> None:
    """Raise before anything runs: `UsageError` where no node is of the class, `ClusterError` where none answers."""
    with connected(address) as ray:
        machine.cpus(_alive(ray))


def _alive(ray: ModuleType) -> list[Mapping[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


@functools.cache
def _remote(ray: ModuleType) -> Any:
    """One function of Ray's for all orders: it gives the next of its calls to whichever worker has ended one.

    Each of several waits at the node that was chosen as it was ordered, however many others have become free since.
    """
    return ray.remote(_carry_out)


def _carry_out(order: Order, given: Sequence[Any]) -> Iterator[Message]:
    """An order on a node; the harness that it imports is what travelled."""
    ray = imported()
    from harness.executors.delivering import deliver

    yield _begun(ray)
    yield from deliver(order, (ray.get(each) for each in given))


class Station(Answerer):
    """An actor on a node that somebody has alone; each call is answered before the next one."""

    def who(self) -> Begun:
        """Which node it is."""
        return _begun(imported())

    def begin_with(self, post: Post, given: Sequence[Any]) -> None:
        """Begin, as `Answerer` says, with files of which `given` are the references."""
        ray = imported()
        self.begin(post, (ray.get(each) for each in given))


def _begun(ray: ModuleType) -> Begun:
    context = ray.get_runtime_context()
    return Begun(node=os.uname().nodename, node_id=context.get_node_id(), machine=conditions())


def _of_this_machine(work: Work) -> list[str]:
    """The packages of the lock that lie on this machine alone."""
    return sorted({name for names in _LOCAL.findall(work.lock) for name in names if name})


def refuse_local(work: Work) -> None:
    """Raise where there are such packages."""
    if found := _of_this_machine(work):
        msg = (
            f"{work.name} has {', '.join(found)} from a folder of this machine, which no node has. Give an index that "
            "has it, or leave out --executor ray."
        )
        raise UsageError(msg)
