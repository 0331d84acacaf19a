"""One bench on a node that it has to itself: what is timed, where a machine class is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.bench.attempt import Attempt
from harness.bench.record import write_json
from harness.executors.connecting import ClusterError
from harness.executors.flights import Flight, Run
from harness.executors.orders import Begun, Ended, Order
from harness.executors.patience import Patience
from harness.executors.receiving import Receiver
from harness.executors.units import ChangedThereError, Unit
from harness.matrix.wholeness import Change


class Reserved(Run):
    """One call of `RayCluster.alone`: the attempt itself is the unit, and what comes is put where it lies."""

    _anew = "are timed on another of its class"
    _only_waiting = False
    _ended = Ended()

    def alone(self, unit: Unit, look: Callable[[], None], *, only_waiting: bool) -> int:
        """Have the bench run, on another node where one was lost, and return its exit code."""
        attempt = Attempt(unit.folder)
        waiting = attempt.waiting_cells(unit.plan)
        cells = waiting if only_waiting else [c for c in unit.plan.cells if not attempt.record_of(c).exists()]
        self._only_waiting, self._places = only_waiting, 1
        self._patience = Patience(self._tell, alone=True)

        def looked() -> bool:
            look()
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

    def _begun(self, flight: Flight, begun: Begun) -> None:
        """The table's machine is the one that times."""
        super()._begun(flight, begun)
        attempt = Attempt(flight.unit.folder)
        write_json(attempt.file, {**(attempt.read() or {}), **begun.machine})

    def _over(self, flight: Flight, ended: Ended) -> None:
        self._ended = ended
        if ended.changes:
            msg = f"node {flight.node}: {ended.trouble} What it timed does not count."
            raise ChangedThereError(msg, [Change(**each) for each in ended.changes], flight.receiver.spans)
        if ended.whole:
            flight.receiver.found_whole()
        super()._over(flight, ended)

    def _give_up(self, node: str, left: int, trouble: str) -> None:
        """This is another kind of machine."""
        msg = f"{node} was lost, as others were before it, with {left} cells to be timed: {trouble}."
        raise ClusterError(msg)
