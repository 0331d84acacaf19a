"""A cluster that runs a night, by events: nodes, what they keep installed, units of cells, failures, and one driver.

Times are seconds. What a cell takes is given; which node takes which unit, and when, is what comes out.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, kw_only=True)
class Load:
    """What there is to run: `cells` in each of several environments, in units of so many."""

    environments: int
    cells: int
    unit_cells: int


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What there is to run it on, and what each thing takes.

    A node runs `slots` units side by side and has room for `room` environments. To make one it fetches it in
    `install_s`, of which the index serves `served` nodes at a time. A unit needs `start_s` before its first cell, the
    driver `record_s` for each record. A node fails once in `fails_after_s` on average (never where that is 0), which is
    noticed `noticed_s` later, and is back with nothing installed after `back_s`. With `by_environment` a node takes
    units of what it has before it installs anything, else the next unit there is.
    """

    nodes: int
    slots: int
    room: int
    install_s: float
    served: int
    start_s: float
    record_s: float
    fails_after_s: float = 0.0
    noticed_s: float = 18.0
    back_s: float = 300.0
    by_environment: bool = True


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a night came to.

    `makespan_s` is when the driver had taken the last record, `computed_s` when the last cell had ended. `cells_s` is
    what all recorded cells took, `lost_s` what was begun and lost with a node. `efficiency` is the share of all slots'
    time until then that went into cells. `behind` is the most records that waited for the driver.
    """

    cells: int
    makespan_s: float
    computed_s: float
    cells_s: float
    lost_s: float
    installs: int
    waiting_s: float
    failures: int
    driver_s: float
    behind: int
    slots: int

    @property
    def efficiency(self) -> float:
        """The share of all slots' time that went into cells."""
        return self.cells_s / (self.slots * self.makespan_s)


@dataclass(frozen=True)
class _Unit:
    environment: int
    start: int
    stop: int


@dataclass(eq=False)
class _Node:
    installed: OrderedDict[int, None] = field(default_factory=OrderedDict)
    in_use: Counter[int] = field(default_factory=Counter)
    installing: dict[int, simpy.Event] = field(default_factory=dict)
    back: simpy.Event | None = None
    workers: list[simpy.Process] = field(default_factory=list)


def simulate(load: Load, cluster: Cluster, durations_s: Sequence[float], *, seed: int = 0) -> Outcome:
    """A night of cells whose durations are drawn from `durations_s`, the same ones for the same seed and load."""
    return _Night(load, cluster, durations_s, seed).run()


class _Night:
    def __init__(self, load: Load, cluster: Cluster, durations_s: Sequence[float], seed: int) -> None:
        self.of, self.random, self.env = cluster, random.Random(seed), simpy.Environment()
        total = load.environments * load.cells
        drawn = np.random.default_rng(seed).choice(np.asarray(durations_s, dtype=float), size=total)
        self.ends_s: NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(drawn)])
        self.left = total
        self.units = {number: deque(_units(load, number)) for number in range(load.environments)}
        self.nodes = [_Node() for _ in range(cluster.nodes)]
        self.having: Counter[int] = Counter()
        self.index = simpy.Resource(self.env, capacity=cluster.served)
        self.more, self.done = self.env.event(), self.env.event()
        self.computed_s = self.driven_until_s = self.driver_s = self.cells_s = self.lost_s = self.waiting_s = 0.0
        self.cells = self.installs = self.failures = self.behind = 0

    def run(self) -> Outcome:
        for node in self.nodes:
            node.workers = [self.env.process(self._work(node)) for _ in range(self.of.slots)]
            if self.of.fails_after_s:
                self.env.process(self._fail(node))
        self.env.run(until=self.done)
        return Outcome(
            cells=self.cells,
            makespan_s=self.driven_until_s,
            computed_s=self.computed_s,
            cells_s=self.cells_s,
            lost_s=self.lost_s,
            installs=self.installs,
            waiting_s=self.waiting_s,
            failures=self.failures,
            driver_s=self.driver_s,
            behind=self.behind,
            slots=self.of.nodes * self.of.slots,
        )

    def _work(self, node: _Node) -> Steps:
        """One slot of a node: unit after unit, until every cell is recorded."""
        while self.left:
            unit = self._next(node)
            began: float | None = None
            try:
                if unit is None:
                    yield self.more
                    continue
                yield from self._environment(node, unit.environment)
                yield self.env.timeout(self.of.start_s)
                began = self.env.now
                yield self.env.timeout(self._seconds(unit.start, unit.stop))
                self._recorded(unit, unit.stop)
            except simpy.Interrupt:
                self.env.process(self._again(unit, began))
                assert node.back is not None
                yield node.back
            finally:
                if unit is not None:
                    node.in_use[unit.environment] -= 1

    def _next(self, node: _Node) -> _Unit | None:
        """The unit that a node takes next; None where there is none now."""
        number = self._choice(node)
        if number is None:
            return None
        self.having[number] += 1
        node.in_use[number] += 1
        return self.units[number].popleft()

    def _choice(self, node: _Node) -> int | None:
        if not self.of.by_environment:
            return next((number for number, units in self.units.items() if units), None)
        here = [number for number in (*node.installed, *node.installing) if self.units[number]]
        if here:
            return max(here, key=lambda number: len(self.units[number]))
        # What is left of an environment, shared by those that are at it and one more.
        left = ((len(units) / (1 + self.having[number]), -number) for number, units in self.units.items() if units)
        return -max(left)[1] if any(self.units.values()) else None

    def _environment(self, node: _Node, number: int) -> Steps:
        """Have the environment on the node: there already, being installed for another slot, or installed now."""
        began = self.env.now
        if number in node.installed:
            node.installed.move_to_end(number)
        elif number in node.installing:
            yield node.installing[number]
        else:
            ready = node.installing[number] = self.env.event()
            with self.index.request() as turn:
                yield turn
                yield self.env.timeout(self.of.install_s)
            self.installs += 1
            del node.installing[number]
            self._keep(node, number)
            ready.succeed()
        self.waiting_s += self.env.now - began

    def _keep(self, node: _Node, number: int) -> None:
        unused = [each for each in node.installed if not node.in_use[each]]
        for each in unused[: max(0, len(node.installed) + 1 - self.of.room)]:
            del node.installed[each]
        node.installed[number] = None

    def _fail(self, node: _Node) -> Steps:
        while self.left:
            yield self.env.timeout(self.random.expovariate(1 / self.of.fails_after_s))
            if not self.left:
                return
            self.failures += 1
            node.installed.clear()
            node.installing.clear()
            node.back = self.env.event()
            for worker in node.workers:
                if worker.is_alive:
                    worker.interrupt()
            yield self.env.timeout(self.of.back_s)
            node.back.succeed()

    def _again(self, unit: _Unit | None, began: float | None) -> Steps:
        """What a lost node had: its records that came are kept, the rest is taken by another when that is noticed."""
        if unit is None:
            return
        done = unit.start
        if began is not None:
            ran = self.env.now - began
            until = np.searchsorted(self.ends_s, self.ends_s[unit.start] + ran, side="right") - 1
            done = min(unit.stop, max(unit.start, int(until)))
            self.lost_s += ran - self._seconds(unit.start, done)
        self._recorded(unit, done)
        yield self.env.timeout(self.of.noticed_s)
        if done < unit.stop:
            self.units[unit.environment].appendleft(_Unit(unit.environment, done, unit.stop))
            self._wake()

    def _recorded(self, unit: _Unit, stop: int) -> None:
        """Hand the records of a unit's first cells to the driver, which takes one after the other."""
        self.having[unit.environment] -= 1
        count = stop - unit.start
        if not count:
            return
        self.cells += count
        self.left -= count
        self.cells_s += self._seconds(unit.start, stop)
        self.computed_s = self.env.now
        self.driven_until_s = max(self.driven_until_s, self.env.now) + count * self.of.record_s
        self.driver_s += count * self.of.record_s
        if self.of.record_s:
            self.behind = max(self.behind, round((self.driven_until_s - self.env.now) / self.of.record_s))
        if not self.left:
            self._wake()
            self.done.succeed()

    def _wake(self) -> None:
        more, self.more = self.more, self.env.event()
        more.succeed()

    def _seconds(self, start: int, stop: int) -> float:
        return float(self.ends_s[stop] - self.ends_s[start])


def _units(load: Load, number: int) -> list[_Unit]:
    first = number * load.cells
    return [
        _Unit(number, first + start, first + min(start + load.unit_cells, load.cells))
        for start in range(0, load.cells, load.unit_cells)
    ]
