"""One bench on a node that it has to itself: what is timed, where a machine class is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from harness.bench.attempt import Attempt
from harness.bench.errors import InfrastructureError
from harness.bench.record import write_json
from harness.executors.connecting import ClusterError
from harness.executors.flights import MOST_LOST, Flight, Run
from harness.executors.orders import Begun, Ended, Order, parts_of
from harness.executors.receiving import Receiver
from harness.executors.units import Unit

_TOLD_S = 60.0
_PATIENCE_S = 3600.0


class Reserved(Run):
    """One call of `RayCluster.alone`: the attempt itself is the unit, and what comes is put where it lies."""

    _only_waiting = False
    _asked = 0.0
    _told = False
    _ended = Ended()

    def alone(self, unit: Unit, look: Callable[[], None], *, only_waiting: bool) -> int:
        """Have the bench run, on another node where one was lost, and return its exit code."""
        attempt = Attempt(unit.folder)
        waiting = attempt.waiting_cells(unit.plan)
        cells = waiting if only_waiting else [c for c in unit.plan.cells if not attempt.record_of(c).exists()]
        self._only_waiting, self._places = only_waiting, 1

        def looked() -> bool:
            look()
            self._require_a_node()
            return True

        self.run([replace(unit, plan=replace(unit.plan, cells=tuple(cells)))], looked)
        if self._ended.log:
            with attempt.log.open("a", encoding="utf-8") as log:
                log.write(self._ended.log)
        return self._ended.returncode

    def _receiver(self, unit: Unit) -> Receiver:
        return Receiver(unit.folder, unit.plan, times=True)

    def _order(self, unit: Unit, receiver: Receiver) -> None:
        receiver.begin()
        attempt, left = Attempt(unit.folder), receiver.left
        order = Order.of(
            unit, left, self._work, self._parcel, environ=self._environ, alone=True, only_waiting=self._only_waiting
        )
        names = [f"{attempt.waiting.name}/{cell.slug}" for cell in attempt.waiting_cells(unit.plan) if cell in left]
        given = [self._ray.put(part) for name in names for part in parts_of(attempt.folder, name)]
        generator = self._cluster.order(self._ray, order, sorted(self._avoided), given)
        self._flights.append(Flight(unit, receiver, generator, given=given))
        self._asked = time.monotonic()

    def _require_a_node(self) -> None:
        """Tell where no node is free that could be had alone. Raises where that has been so for long."""
        waits = [flight for flight in self._flights if not flight.node]
        waited_s = time.monotonic() - self._asked
        if waits and waited_s > _PATIENCE_S:
            msg = f"for {_PATIENCE_S / 60:g} minutes no node of the machine class was free to be had alone."
            raise ClusterError(msg)
        if waits and waited_s > _TOLD_S and not self._told:
            self._told = True
            self._tell(
                "waiting for a node of the machine class to have alone: others use CPUs of each (`ray status`). End "
                "what is there or start one more node with its label; ended with Ctrl-C, the same command goes on."
            )

    def _begun(self, flight: Flight, begun: Begun) -> None:
        """The table's machine is the one that times."""
        super()._begun(flight, begun)
        attempt = Attempt(flight.unit.folder)
        write_json(attempt.file, {**(attempt.read() or {}), **begun.machine})

    def _over(self, flight: Flight, ended: Ended) -> None:
        flight.given.clear()
        self._ended = ended
        if ended.changed:
            attempt = Attempt(flight.unit.folder)
            attempt.take_back(flight.receiver.done)
            msg = f"node {flight.node}: {ended.trouble} What it timed is taken back."
            raise InfrastructureError(msg)
        super()._over(flight, ended)

    def _was_lost(self, flight: Flight, trouble: str) -> None:
        self._lost[flight.unit.name] += 1
        node = f"node {flight.node} ({flight.node_id[:8]})" if flight.node else "a node"
        if self._lost[flight.unit.name] > MOST_LOST:
            msg = f"{node} was lost, as others were before it, with {len(flight.receiver.left)} cells to be timed."
            raise ClusterError(msg)
        self._tell(f"{node} was lost, {len(flight.receiver.left)} cells are timed on another of its class: {trouble}")
        self._ahead.insert(0, (flight.unit, flight.receiver))
