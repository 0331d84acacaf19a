"""Laboratories in which nothing is installed: versions, what fits together and what breaks are given."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.bench.record import Record
from harness.bump.moves import Mix, Move, Side, moves_between
from harness.bump.trials import BudgetSpentError, Resolution, Trial, TrialCell
from tests.tables.samples import passed

Pins = Mapping[str, str]
CELL: TrialCell = ("embedding", "onnx-torchscript")


def works(_pins: Pins, cell: TrialCell) -> Record:
    """Whatever is installed, the cell passes."""
    return passed(*cell)


@dataclass
class SimulatedLaboratory:
    """A laboratory of given packages.

    `before` and `after` are the locks, `requirements` the names that are asked for; all of them by default. `fits` says
    whether a set of versions has a solution, `record` what a cell comes to in it, `served` what it comes to where one
    set converted and another one serves. `released` are further versions of packages. At most `budget` environments
    are installed. `installed` are those that were, in order.
    """

    before: Pins
    after: Pins
    record: Callable[[Pins, TrialCell], Record] = works
    served: Callable[[Pins, Pins, TrialCell], Record] | None = None
    fits: Callable[[Pins], bool] = lambda _pins: True
    requirements: frozenset[str] | None = None
    released: Mapping[str, Sequence[str]] = field(default_factory=dict)
    budget: int = 1000
    installed: list[dict[str, str]] = field(default_factory=list)
    crossed: list[tuple[Mix, Mix]] = field(default_factory=list)
    resolved: int = 0
    _resolutions: dict[Mix, Resolution] = field(default_factory=dict)

    @property
    def base(self) -> Side:
        return self._side("base", self.before)

    @property
    def candidate(self) -> Side:
        return self._side("candidate", self.after)

    @property
    def moves(self) -> tuple[Move, ...]:
        return moves_between(self.base, self.candidate)

    def _side(self, name: str, locked: Pins) -> Side:
        asked = locked if self.requirements is None else self.requirements & locked.keys()
        return Side(name=name, python="3.11", direct={each: locked[each] for each in asked}, locked=locked)

    def resolve(self, mix: Mix) -> Resolution:
        if mix not in self._resolutions:
            self.resolved += 1
            self._resolutions[mix] = self._solved(mix)
        return self._resolutions[mix]

    def _solved(self, mix: Mix) -> Resolution:
        """The first set that fits: what is not held prefers the base's version, then the newest."""
        names = [name for name in sorted({*self.before, *mix.pins}) if name not in mix.without]
        choices = []
        for name in names:
            held = mix.pins.get(name) or mix.bounds.get(name)
            known = sorted({*self.released.get(name, ()), self.after.get(name, "")} - {""}, key=_order, reverse=True)
            asked = name in (self.base.direct if self.requirements is None else self.requirements)
            if held:
                choices.append([held])
            elif asked and name not in mix.pins:
                choices.append([self.before[name]])
            else:
                choices.append(list(dict.fromkeys([*([self.before[name]] if name in self.before else []), *known])))
        for versions in itertools.product(*choices):
            pins = dict(zip(names, versions, strict=True))
            if self.fits(pins):
                return Resolution(pins=pins)
        return Resolution(reason=f"{mix}: these do not fit together")

    def run(self, mix: Mix, cells: Sequence[TrialCell]) -> Trial:
        resolution = self.resolve(mix)
        pins = dict(resolution.pins)
        if resolution.reason:
            return Trial(id="none", mix=mix, pins={}, records={}, files={}, reason=resolution.reason)
        new = pins not in self.installed
        if new:
            if len(self.installed) >= self.budget:
                msg = "the budget is spent"
                raise BudgetSpentError(msg)
            self.installed.append(pins)
        name = f"t{self.installed.index(pins)}"
        return self._trial(name, mix, pins, {cell: self.record(pins, cell) for cell in cells}, new=new)

    def cross(self, *, converted: Mix, served: Mix, cell: TrialCell) -> Trial:
        assert self.served is not None, "nothing was to be crossed"
        self.crossed.append((converted, served))
        one, other = self.resolve(converted).pins, self.resolve(served).pins
        record = self.served(one, other, cell)
        return self._trial(f"x{len(self.crossed)}", served, dict(other), {cell: record}, new=True)

    def versions(self, package: str) -> tuple[str, ...]:
        known = {*self.released.get(package, ()), self.before[package], self.after[package]}
        return tuple(sorted(known, key=_order))

    def _trial(self, name: str, mix: Mix, pins: Pins, records: Mapping[TrialCell, Record], *, new: bool) -> Trial:
        files = {cell: f".harness/trials/{name}/{'--'.join(cell)}.json" for cell in records}
        made = {cell: replace(record, combination="trial") for cell, record in records.items()}
        return Trial(id=name, mix=mix, pins=pins, records=made, files=files, seconds=12.0, installed=new, kept=not new)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
