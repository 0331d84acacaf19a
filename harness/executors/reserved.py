"""One bench on a node that it has to itself: what is timed, where a machine class is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from harness.bench.attempt import Attempt
from harness.bench.errors import InfrastructureError
from harness.bench.record import write_json
from harness.executors.connecting import ClusterError
from harness.executors.flights import Flight, Run
from harness.executors.orders import Begun, Ended, Order
from harness.executors.receiving import Receiver
from harness.executors.units import Unit

_TOLD_S = 60.0
_PATIENCE_S = 3600.0


class Patience:
    """How long it is waited for a node that is free to be had alone: after a minute a person is told, once."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told = False

    def look(self, asked: float) -> None:
        """Nobody has begun since `asked`, by the monotonic clock. Raises `ClusterError` where that is an hour ago."""
        waited_s = time.monotonic() - asked
        if waited_s > _PATIENCE_S:
            msg = f"for {_PATIENCE_S / 60:g} minutes no node of the machine class was free to be had alone."
            raise ClusterError(msg)
        if waited_s > _TOLD_S and not self._told:
            self._told = True
            self._tell(
                "waiting for a node of the machine class to have alone: others use CPUs of each (`ray status`). End "
                "what is there or start one more node with its label; ended with Ctrl-C, the same command goes on."
            )


class Reserved(Run):
    """One call of `RayCluster.alone`: the attempt itself is the unit, and what comes is put where it lies."""

    _anew = "are timed on another of its class"
    _only_waiting = False
    _asked = 0.0
    _ended = Ended()

    def alone(self, unit: Unit, look: Callable[[], None], *, only_waiting: bool) -> int:
        """Have the bench run, on another node where one was lost, and return its exit code."""
        attempt = Attempt(unit.folder)
        waiting = attempt.waiting_cells(unit.plan)
        cells = waiting if only_waiting else [c for c in unit.plan.cells if not attempt.record_of(c).exists()]
        self._only_waiting, self._places = only_waiting, 1
        patience = Patience(self._tell)

        def looked() -> bool:
            look()
            if any(not flight.node for flight in self._flights):
                patience.look(self._asked)
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
        given = self._given(unit, [*names, *(f"{attempt.given.name}/{cell.slug}" for cell in left)])
        generator = self._cluster.order(self._ray, order, sorted(self._avoided), given)
        self._flights.append(Flight(unit, receiver, generator, given=given))
        self._asked = time.monotonic()

    def _begun(self, flight: Flight, begun: Begun) -> None:
        """The table's machine is the one that times."""
        super()._begun(flight, begun)
        attempt = Attempt(flight.unit.folder)
        write_json(attempt.file, {**(attempt.read() or {}), **begun.machine})

    def _over(self, flight: Flight, ended: Ended) -> None:
        self._ended = ended
        if ended.changed:
            attempt = Attempt(flight.unit.folder)
            attempt.take_back(flight.receiver.done)
            msg = f"node {flight.node}: {ended.trouble} What it timed is taken back."
            raise InfrastructureError(msg)
        super()._over(flight, ended)

    def _give_up(self, node: str, left: int, trouble: str) -> None:
        """This is another kind of machine."""
        msg = f"{node} was lost, as others were before it, with {left} cells to be timed: {trouble}."
        raise ClusterError(msg)
