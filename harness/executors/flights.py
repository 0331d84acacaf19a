"""Orders under way on the nodes of a cluster: what comes of each, and what is ordered anew."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

from harness.bench.attempt import State
from harness.bench.errors import InfrastructureError
from harness.bench.signals import deaf
from harness.executors.connecting import ClusterError, first_line, last_line
from harness.executors.orders import Begun, Ended, Message, Order, Part, Told, parts_of
from harness.executors.parcel import Parcel
from harness.executors.patience import Patience
from harness.executors.receiving import Receiver
from harness.executors.units import Unit, Work
from harness.matrix.environment import clean_environ

_POLL_S = 0.1
_GRACE_S = 30.0
_COUNT_S = 5.0
_PATIENCE_S = 120.0
_AHEAD = 1
"""Units that are ordered beyond what nodes have room for, for an autoscaler to see. More would lose their order."""

MOST_LOST = 2
"""How many nodes may be lost with a unit's cells: what is left then runs on this machine, one cell at a time."""

_MOST_FAILED = 2
"""How many nodes may fail to run a unit before the run stops: it is not the nodes then."""

_REMEDY = "Is `conversion-harness[ray]` installed there, for the same Python and the same Ray?"


class Nodes(Protocol):
    """Who has orders carried out: `harness.executors.cluster.RayCluster`."""

    @property
    def jobs(self) -> int:
        """How many units the nodes could run side by side at first."""

    def rooms(self, ray: ModuleType) -> dict[str, int]:
        """How many units each node could run side by side now, where that is any."""

    def order(self, ray: ModuleType, order: Order, avoided: Sequence[str], given: Sequence[Any] = ()) -> Any:
        """Have an order carried out; a generator of references to messages."""

    def check(self, ray: ModuleType, begun: Begun) -> None:
        """Raise where a node that has begun is none that may carry it out."""


@dataclass
class Flight:
    """An order under way. `ref` is what is being fetched of it; `lost` says that its node is no more.

    `given` are the references that it needs until it has ended.
    """

    unit: Unit
    receiver: Receiver
    generator: Any
    ref: Any = None
    node: str = ""
    node_id: str = ""
    cancelled: bool = False
    lost: bool = False
    given: list[Any] = field(default_factory=list)
    ended: Ended | None = None


class Run:
    """One call of an executor, connected: the orders under way, and what is to be ordered still."""

    _anew = "are ordered anew"
    """What becomes of cells whose node is lost."""

    def __init__(
        self, cluster: Nodes, ray: ModuleType, work: Work, parcel: Parcel, tell: Callable[[str], None]
    ) -> None:
        self._cluster = cluster
        self._ray = ray
        self._work = work
        self._parcel = parcel
        self._tell = tell
        self._environ = clean_environ(pinned=bool(work.lock))
        self._ahead: list[tuple[Unit, Receiver]] = []
        self._flights: list[Flight] = []
        self._lost: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._avoided: set[str] = set()
        self._places = cluster.jobs
        self._patience = Patience(tell, alone=False)
        self._counted = self._had_places = self._under_way = time.monotonic()

    def run(self, units: Sequence[Unit], look: Callable[[], bool]) -> None:
        """Have every unit run to its end, or as often as nodes may be lost or fail with it."""
        self._ahead = [(unit, self._receiver(unit)) for unit in units]
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
                self._wait()
        except BaseException:
            with deaf():
                self._end_all()
            raise

    def _receiver(self, unit: Unit) -> Receiver:
        """What takes what comes of a unit."""
        return Receiver(unit.folder, unit.plan)

    def _order(self, unit: Unit, receiver: Receiver) -> None:
        receiver.begin()
        order = Order.of(unit, receiver.left, self._work, self._parcel, environ=self._environ)
        given = self._given(unit, [f"given/{cell.slug}" for cell in receiver.left])
        generator = self._cluster.order(self._ray, order, sorted(self._avoided), given)
        self._flights.append(Flight(unit, receiver, generator, given=given))

    def _given(self, unit: Unit, names: Sequence[str]) -> list[Any]:
        """References to what an attempt has from the beginning: all that lies in its folders `names`."""
        return [self._ray.put(part) for name in names for part in parts_of(unit.folder, name)]

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

    def _wait(self) -> None:
        """Nodes are there, but others may use them. Raises where no order has been under way for long."""
        if any(flight.node for flight in self._flights):
            self._under_way = time.monotonic()
        elif self._flights and self._places:
            self._patience.look(self._under_way)

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

    def _take(self, flight: Flight) -> None:
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
            flight.ended = Ended(trouble=first_line(error) if flight.lost else last_line(error))
        else:
            if isinstance(message, Begun):
                flight.node, flight.node_id = message.node, message.node_id
                self._begun(flight, message)
            elif isinstance(message, Part):
                flight.receiver.part(message)
            elif isinstance(message, Told):
                flight.receiver.told(message)
                for note in message.notes:
                    self._tell(f"node {flight.node}: {note}")
            else:
                flight.ended = message

    def _begun(self, flight: Flight, begun: Begun) -> None:
        """A node has begun with an order."""
        del flight
        self._cluster.check(self._ray, begun)

    def _over(self, flight: Flight, ended: Ended) -> None:
        """An order came to its end: what is left of its cells is ordered anew where the node is to blame."""
        left = flight.receiver.left
        flight.given.clear()
        if ended.state == State.REFUSED.value:
            flight.receiver.refused(ended)
        elif not ended.trouble or not left or flight.cancelled:
            return
        elif ended.changes:
            node = f"node {flight.node}: {ended.trouble}"
            self._tell(f"{node} {len(left)} cells run here, alone, where it is found out which of them did it.")
        elif flight.lost or ended.killed:
            self._was_lost(flight, ended.trouble)
        else:
            self._could_not(flight, ended.trouble)

    def _was_lost(self, flight: Flight, trouble: str) -> None:
        unit, left = flight.unit.name, len(flight.receiver.left)
        node = f"node {flight.node} ({flight.node_id[:8]})" if flight.node else "a node"
        self._lost[unit] += 1
        if self._lost[unit] > MOST_LOST:
            self._give_up(node, left, trouble)
            return
        self._tell(f"{node} was lost, {left} cells {self._anew}: {trouble}")
        self._ahead.insert(0, (flight.unit, flight.receiver))

    def _give_up(self, node: str, left: int, trouble: str) -> None:
        """So many nodes were lost with these cells that they are not ordered anew."""
        self._tell(f"{node} was lost, {left} cells run here, alone: {trouble}")

    def _could_not(self, flight: Flight, trouble: str) -> None:
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

    def _cancel(self, flights: Sequence[Flight], *, force: bool = False) -> None:
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
