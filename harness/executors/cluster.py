"""Units on the nodes of a Ray cluster: `conversion-harness[ray]`.

Ray brings the harness and a user's code to each node, decides where an order is carried out, and tells of nodes that
are lost. Everything else is the harness's own: cells that a lost node had not ended are ordered anew, of a cell the
first whole result counts, and nothing of what Ray sets in its processes reaches a bench.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.bench.attempt import State
from harness.bench.errors import InfrastructureError, UsageError
from harness.bench.plan import Policy
from harness.bench.signals import deaf
from harness.executors.orders import Begun, Ended, Message, Order, Part, Told
from harness.executors.parcel import Parcel, pack, parcel_of
from harness.executors.receiving import Receiver
from harness.executors.units import Unit, Work
from harness.matrix.environment import clean_environ

_POLL_S = 0.1
_GRACE_S = 30.0
_COUNT_S = 5.0
_PATIENCE_S = 120.0
_MIB = 2**20
_AHEAD = 1
"""Units that are ordered beyond what nodes have room for, for an autoscaler to see. More would lose their order."""

_MOST_LOST = 2
"""How many nodes may be lost with a unit's cells: what is left then runs on this machine, one cell at a time."""

_MOST_FAILED = 2
"""How many nodes may fail to run a unit before the run stops: it is not the nodes then."""

_OF_THIS_MACHINE = re.compile(r"^# package: (\S+) |(\S+) @ file:", re.MULTILINE)
_REMEDY = "Is `conversion-harness[ray]` installed there, for the same Python and the same Ray?"


class ClusterError(InfrastructureError):
    """The cluster could not be reached, or has no node that can run a unit."""

    remedy = "See that it is up (`ray status`), and run the same command again: it goes on with what is recorded."


@dataclass
class _Flight:
    """An order under way. `ref` is what is being fetched of it; `lost` says that its node is no more."""

    unit: Unit
    receiver: Receiver
    generator: Any
    ref: Any = None
    node: str = ""
    node_id: str = ""
    cancelled: bool = False
    lost: bool = False
    ended: Ended | None = None


class RayCluster:
    """Has units run on the nodes of a cluster; `address` is Ray's, and without one Ray finds a cluster or starts one.

    Each unit has `policy.threads` cores and `policy.memory_limit_mb` of its node's memory to itself, and on a `device`
    that is no CPU one GPU. `tell` is told what a person should know.
    """

    def __init__(self, address: str | None, policy: Policy, *, device: str, tell: Callable[[str], None]) -> None:
        self._address = address
        self._policy = policy
        self._gpus = 0 if device == "cpu" else 1
        self._tell = tell
        with _connected(address) as ray:
            self._jobs = sum(self.rooms(ray).values())
        if not self._jobs:
            msg = (
                f"no node of the cluster has {policy.threads} CPUs and {policy.memory_limit_mb} MiB of memory free for "
                "one cell. Lower `memory_limit_mb` or `threads` of [policy], or start nodes with more (`ray start "
                "--num-cpus --memory`)."
            )
            raise UsageError(msg)
        if self._jobs == 1:
            tell("the cluster has room for one cell at a time, and so has this machine: cells run here")

    @property
    def jobs(self) -> int:
        """How many units its nodes could run side by side when they were asked."""
        return self._jobs

    def rooms(self, ray: ModuleType) -> dict[str, int]:
        """How many units each node that is there could run side by side, where that is any, by Ray's identities."""
        needed = self._needed()
        asked = {"CPU": needed["num_cpus"], "memory": needed["memory"], "GPU": needed["num_gpus"]}
        found = {
            node["NodeID"]: int(
                min(node["Resources"].get(name, 0.0) // least for name, least in asked.items() if least)
            )
            for node in ray.nodes()
            if node["Alive"]
        }
        return {node: room for node, room in found.items() if room}

    def _needed(self) -> dict[str, int]:
        memory = self._policy.memory_limit_mb * _MIB
        return {"num_cpus": self._policy.threads, "memory": memory, "num_gpus": self._gpus}

    def run(self, units: Sequence[Unit], work: Work, look: Callable[[], bool]) -> None:
        """As `harness.executors.units.Executor` says; units of which nodes are lost twice are left to this machine.

        Raises `UsageError` for an environment that no other machine can install, and `InfrastructureError` where no
        node is left that can do what was ordered.
        """
        _refuse_local(work)
        parcel = parcel_of([unit.plan for unit in units])
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "harness.zip")
            pack(parcel, archive)
            with _connected(self._address, archive) as ray:
                _Run(self, ray, work, parcel, self._tell).run(units, look)

    def order(self, ray: ModuleType, order: Order, avoided: Sequence[str]) -> Any:
        """Have an order carried out by whichever node has room; a generator of references to messages."""
        options: dict[str, Any] = {**self._needed(), "max_retries": 0, "num_returns": "streaming"}
        options["_generator_backpressure_num_objects"] = 16
        if avoided:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(avoided)})"}
        return ray.remote(_carry_out).options(**options).remote(order)


def _carry_out(order: Order) -> Iterator[Message]:
    """An order on a node; the harness that it imports is what travelled."""
    ray = _imported()
    from harness.executors.delivering import deliver

    context = ray.get_runtime_context()
    yield Begun(node=os.uname().nodename, node_id=context.get_node_id())
    yield from deliver(order)


class _Run:
    """One call of `RayCluster.run`, connected: the orders under way, and what is to be ordered still."""

    def __init__(
        self, cluster: RayCluster, ray: ModuleType, work: Work, parcel: Parcel, tell: Callable[[str], None]
    ) -> None:
        self._cluster = cluster
        self._ray = ray
        self._work = work
        self._parcel = parcel
        self._tell = tell
        self._environ = clean_environ(pinned=bool(work.lock))
        self._ahead: list[tuple[Unit, Receiver]] = []
        self._flights: list[_Flight] = []
        self._lost: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._avoided: set[str] = set()
        self._places = cluster.jobs
        self._counted = self._had_places = time.monotonic()

    def run(self, units: Sequence[Unit], look: Callable[[], bool]) -> None:
        self._ahead = [(unit, Receiver(unit.folder, unit.plan)) for unit in units]
        try:
            while self._flights or self._ahead:
                while self._ahead and len(self._flights) < self._places + _AHEAD:
                    self._order(*self._ahead.pop(0))
                self._receive()
                for flight in [each for each in self._flights if each.ended is not None]:
                    self._flights.remove(flight)
                    self._over(flight, flight.ended or Ended())
                if not look():
                    self._ahead.clear()
                    self._cancel([flight for flight in self._flights if not flight.node])
                self._count()
        except BaseException:
            with deaf():
                self._end_all()
            raise

    def _order(self, unit: Unit, receiver: Receiver) -> None:
        receiver.begin()
        order = Order.of(unit, receiver.left, self._work, self._parcel, environ=self._environ)
        self._flights.append(_Flight(unit, receiver, self._cluster.order(self._ray, order, sorted(self._avoided))))

    def _count(self) -> None:
        """Nodes come and go. Raises where none has been there for long that could run what is left."""
        now = time.monotonic()
        if now - self._counted > _COUNT_S:
            self._places, self._counted = sum(self._rooms().values()), now
        if self._places:
            self._had_places = now
        elif now - self._had_places > _PATIENCE_S:
            msg = f"for {_PATIENCE_S / 60:g} minutes there has been no node that could run what is left."
            raise ClusterError(msg)

    def _rooms(self) -> dict[str, int]:
        """How many units each node that gets orders could run side by side."""
        rooms = self._cluster.rooms(self._ray)
        return {node: room for node, room in rooms.items() if node not in self._avoided}

    def _receive(self) -> None:
        """Take what has come, for as long as something has, and not for so long that nobody looks."""
        until, timeout_s = time.monotonic() + 2 * _POLL_S, _POLL_S
        while time.monotonic() < until:
            waited_for = {each.ref or each.generator: each for each in self._flights if each.ended is None}
            if not waited_for:
                return
            came, _ = self._ray.wait(list(waited_for), num_returns=len(waited_for), timeout=timeout_s)
            if not came:
                return
            timeout_s = 0.0
            for each in came:
                self._take(waited_for[each])

    def _take(self, flight: _Flight) -> None:
        """What has come of an order: the next reference, or the message that one stands for."""
        from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

        try:
            if flight.ref is None:
                flight.ref = next(flight.generator)
                return
            message: Message = self._ray.get(flight.ref)
            flight.ref = None
        except StopIteration:
            flight.ended = Ended(trouble="its answer broke off")
        except RayError as error:
            flight.lost = not isinstance(error, (RayTaskError, RuntimeEnvSetupError))
            flight.ended = Ended(trouble=_first_line(error) if flight.lost else _last_line(error))
        else:
            if isinstance(message, Begun):
                flight.node, flight.node_id = message.node, message.node_id
            elif isinstance(message, Part):
                flight.receiver.part(message)
            elif isinstance(message, Told):
                flight.receiver.told(message)
                for note in message.notes:
                    self._tell(f"node {flight.node}: {note}")
            else:
                flight.ended = message

    def _over(self, flight: _Flight, ended: Ended) -> None:
        """An order came to its end: what is left of its cells is ordered anew where the node is to blame."""
        left = flight.receiver.left
        if ended.state == State.REFUSED.value:
            flight.receiver.refused(ended)
        elif not ended.trouble or not left or flight.cancelled:
            return
        elif flight.lost or ended.killed:
            self._was_lost(flight, ended.trouble)
        else:
            self._could_not(flight, ended.trouble)

    def _was_lost(self, flight: _Flight, trouble: str) -> None:
        unit, left = flight.unit.name, len(flight.receiver.left)
        node = f"node {flight.node} ({flight.node_id[:8]})" if flight.node else "a node"
        self._lost[unit] += 1
        again = self._lost[unit] <= _MOST_LOST
        self._tell(f"{node} was lost, {left} cells {'are ordered anew' if again else 'run here, alone'}: {trouble}")
        if again:
            self._ahead.insert(0, (flight.unit, flight.receiver))

    def _could_not(self, flight: _Flight, trouble: str) -> None:
        """A node that could not do it gets no further order. Raises where it may not be the node's fault."""
        unit = flight.unit.name
        self._failed[unit] += 1
        told = f"node {flight.node}: {trouble}" if flight.node else f"a node could not begin: {trouble} {_REMEDY}"
        if flight.node:
            self._avoided.add(flight.node_id)
        if not flight.node or self._failed[unit] >= _MOST_FAILED or not self._rooms():
            raise InfrastructureError(told)
        self._tell(f"{told.rstrip('.')}. It gets no further cells.")
        self._ahead.insert(0, (flight.unit, flight.receiver))

    def _cancel(self, flights: Sequence[_Flight], *, force: bool = False) -> None:
        for flight in flights:
            if force or not flight.cancelled:
                flight.cancelled = True
                self._ray.cancel(flight.generator, force=force)

    def _end_all(self) -> None:
        """Have all orders end by themselves, which removes what their cells left; what does not end is killed."""
        from ray.exceptions import RayError

        with contextlib.suppress(RayError, OSError):
            self._cancel(self._flights)
            deadline = time.monotonic() + _GRACE_S
            while self._flights and time.monotonic() < deadline:
                self._receive()
                self._flights = [flight for flight in self._flights if flight.ended is None]
            self._cancel(self._flights, force=True)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def _refuse_local(work: Work) -> None:
    """Raise where the lock names packages that lie on this machine alone."""
    found = sorted({name for names in _OF_THIS_MACHINE.findall(work.lock) for name in names if name})
    if found:
        msg = (
            f"{work.name} has {', '.join(found)} from a folder of this machine, which no node has. Give an index that "
            "has it, or leave out --executor ray."
        )
        raise UsageError(msg)


def _imported() -> ModuleType:
    """Ray, without what it puts on the path of whoever imports it. Raises `UsageError` where it is not installed."""
    before = list(sys.path)
    try:
        import ray
        import ray.exceptions
    except ImportError:
        msg = "--executor ray needs Ray. Install it: `pip install 'conversion-harness[ray]'`, here and on every node."
        raise UsageError(msg) from None
    finally:
        sys.path[:] = before
    module: ModuleType = ray
    return module


@contextlib.contextmanager
def _connected(address: str | None, archive: Path | None = None) -> Iterator[ModuleType]:
    """Ray, connected until the end of the context; what is in `archive` travels to each node that gets an order."""
    ray = _imported()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = list(sys.path)
    runtime_env = {"working_dir": str(archive)} if archive else None
    try:
        ray.init(address=address, runtime_env=runtime_env, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        msg = f"Ray could not be reached{f' at {address}' if address else ''}: {_first_line(error)}."
        raise ClusterError(msg) from None
    finally:
        sys.path[:] = before
        for number, handler in handlers.items():
            signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()
