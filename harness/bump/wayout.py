"""The way out of each cause: what passes in its place, from cells that were run and nothing else.

Nearest to what was asked for comes first: another version of what is to blame beside all other moves, then another
strategy or opset for the model under the candidate's versions, then what is to blame held back while all else moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from harness.bench.plan import extension_of, spellings, split
from harness.bench.record import Record
from harness.bench.registry import Registry
from harness.bench.stages import Outcome
from harness.bench.text import one_line
from harness.bump.asking import carried_on
from harness.bump.culprits import candidate_of
from harness.bump.moves import Mix, mix_of, same_version
from harness.bump.schema import Blame, Culprits, Released, Seen, Status, Way, WayKind, WayOut
from harness.bump.trials import BudgetSpentError, Laboratory, Trial, TrialCell
from harness.verdict.comparison import CellChange, Comparison

_MOST_STRATEGIES = 6
"""Strategies that are tried for one cause where none of the table passes: each is one more cell in one environment."""
_MOST_SHOWN = 3
_REASON_LENGTH = 160

FileOf = Callable[[Record], str]
"""Where the record of a cell of the candidate's table lies, relative to the root."""


@dataclass
class _Case:
    """One cause on its way out."""

    blame: Blame
    broken: Mapping[str, CellChange]
    out: WayOut
    failed: list[Seen] = field(default_factory=list)

    @property
    def looked_into(self) -> bool:
        """Whether the break is there in a trial; else none of the candidate tells anything."""
        return self.blame.status in (Status.FOUND, Status.NARROWED)

    @property
    def cells(self) -> list[TrialCell]:
        """The cell that stands for the cause, then those of its others that were tried along, then the rest; a few."""
        tried = [each.cell for each in self.blame.others]
        names = dict.fromkeys([self.blame.cell, *tried, *self.blame.cells])
        return [_cell(name) for name in names][:_MOST_SHOWN]

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(change.model for change in self.broken.values()))

    def add(self, *ways: Way) -> None:
        self.out = replace(self.out, ways=(*self.out.ways, *ways))

    def limit(self, text: str) -> None:
        self.out = replace(self.out, limits=(*self.out.limits, text))

    def has(self, kind: WayKind) -> bool:
        return any(way.kind is kind for way in self.out.ways)


def ways_out(
    laboratory: Laboratory,
    comparison: Comparison,
    blames: Sequence[Blame],
    *,
    registry: Registry,
    file_of: FileOf,
) -> tuple[WayOut, ...]:
    """What passes in the place of each cause of `blames`, in their order.

    What tables and earlier trials tell comes first; then more is run. What the budget, or the machine, cut off is said
    in `limits`. Raises `RunInterruptedError` where a person ends it.
    """
    changes = {change.name: change for change in comparison.changes}
    cases = [
        _Case(blame, {name: changes[name] for name in blame.cells if name in changes}, WayOut(cell=blame.cell))
        for blame in blames
    ]
    search = _Search(laboratory, comparison, registry, file_of)
    phases = [search.later_versions, search.strategies_of_table]
    phases += [search.earlier_versions, search.held_back, search.further_strategies]
    for phase in phases:
        for case in cases:
            carried_on(partial(phase, case), before=_WORDS[phase.__name__], limit=case.limit)
    return tuple(replace(case.out, ways=_ranked(case.out.ways), failed=tuple(case.failed)) for case in cases)


_WORDS = {
    "later_versions": "later versions were tried",
    "strategies_of_table": "other strategies were looked at",
    "earlier_versions": "earlier versions were tried",
    "held_back": "holding back was tried",
    "further_strategies": "more strategies were tried",
}


def _ranked(ways: Sequence[Way]) -> tuple[Way, ...]:
    return tuple(sorted(ways, key=lambda way: list(WayKind).index(way.kind)))


@dataclass(frozen=True)
class _Search:
    laboratory: Laboratory
    comparison: Comparison
    registry: Registry
    file_of: FileOf

    def later_versions(self, case: _Case) -> None:
        """The first later version of what is to blame that works beside all other moves: blame has run it."""
        for versions in case.blame.versions:
            if versions.works_again is not None:
                self._add_released(case, versions.works_again)

    def _add_released(self, case: _Case, released: Released) -> None:
        evidence = released.evidence
        mix = Mix(pins=evidence.mix.pins, bounds=evidence.mix.bounds, without=frozenset(evidence.mix.without))
        try:
            trial = self.laboratory.run(mix, case.cells)
        except BudgetSpentError:  # the cell that stands for the cause was run already
            trial = self.laboratory.run(mix, [_cell(evidence.cell)])
            case.limit("the time for trials was over before its other cells were tried with those versions")
        self._judge(case, WayKind.VERSIONS, trial, self._pins(trial.pins, also=self._guilty(case, mix)))

    def earlier_versions(self, case: _Case) -> None:
        """The last version that works before the first that breaks, where it is newer than the base's."""
        culprits = case.blame.culprits
        if culprits is None or case.has(WayKind.VERSIONS):
            return
        for versions in case.blame.versions:
            before = next(each.before for each in culprits.packages if each.name == versions.package)
            last = versions.last_working
            if last is None or same_version(last.version, before):
                continue
            mix = self._with_earlier(versions.package, last, culprits)
            trial = self.laboratory.run(mix, case.cells)
            self._judge(case, WayKind.VERSIONS, trial, self._pins(trial.pins, also=self._guilty(case, mix)))

    def _with_earlier(self, package: str, last: Released, culprits: Culprits) -> Mix:
        """All that is asked for as in the candidate but `package`, and what moved with it, as they last worked.

        What only moves along is left to the resolver, and what had to move with it too, where that is the only way.
        """
        moves = self.laboratory.moves
        direct = {move.name for move in moves if move.direct}
        mix = mix_of(moves, candidate={*direct, *(each.name for each in culprits.packages)})
        along = {each.name for each in culprits.along} & direct
        if package in direct:
            mix = replace(mix, pins={**mix.pins, package: last.version})
        else:
            mix = replace(mix, bounds={**mix.bounds, package: last.version})
        held = {name: last.packages[name] for name in along if name in last.packages}
        made = replace(mix, pins={**mix.pins, **held})
        if not self.laboratory.resolve(made).reason:
            return made
        return replace(mix, pins={**mix.pins, **dict.fromkeys(along & mix.pins.keys(), "")})

    def held_back(self, case: _Case) -> None:
        """What is to blame, and what moves with it, at the base's versions while all else moves."""
        culprits = case.blame.culprits
        if culprits is None or case.blame.status is not Status.FOUND:
            return
        held = {each.name for each in (*culprits.packages, *culprits.along)}
        mix = mix_of(self.laboratory.moves, candidate=[m.name for m in self.laboratory.moves if m.name not in held])
        # Of what the requirements do not name nothing but a bound says that it stays.
        bounds = {each.name: each.before for each in culprits.packages if not each.direct and each.before is not None}
        mix = replace(mix, bounds={**mix.bounds, **bounds})
        trial = self.laboratory.run(mix, case.cells)
        pins = self._pins(trial.pins, also=bounds)
        self._judge(case, WayKind.HOLD_BACK, trial, {n: v for n, v in pins.items() if n in held}, held=sorted(held))

    def strategies_of_table(self, case: _Case) -> None:
        """Other strategies that convert the same model and pass in the candidate's table."""
        records = {change.name: change.candidate for change in self.comparison.changes if change.candidate}
        for model in case.models:
            passing = [
                record
                for name, record in records.items()
                if record.model == model
                and record.outcome is Outcome.PASSED
                and name not in case.blame.cells
                and self._converts(record.strategy)
            ]
            seen = [_seen(record, file=self.file_of(record)) for record in self._nearest(passing, case, model)]
            if seen:
                case.add(self._of_strategy(case, model, seen))

    def further_strategies(self, case: _Case) -> None:
        """Opsets and strategies that were not planned, for models for which none of the planned ones passes."""
        if not case.looked_into:
            return
        helped = {way.seen[0].cell.partition("/")[0] for way in case.out.ways if way.kind is WayKind.STRATEGY}
        for model in case.models:
            cells = [] if model in helped else list(self._further(case, model))
            if not cells:
                continue
            trial = self.laboratory.run(candidate_of(self.laboratory), cells)
            records = [record for record in trial.records.values() if record.outcome is Outcome.PASSED]
            near = self._nearest(records, case, model)
            if near:
                files = trial.files
                seen = [_seen(each, file=files[each.model, each.strategy], trial=trial.id) for each in near]
                case.add(self._of_strategy(case, model, seen))
            case.failed += _failures(trial)

    def _of_strategy(self, case: _Case, model: str, seen: Sequence[Seen]) -> Way:
        was = next(change.base for change in case.broken.values() if change.model == model)
        pins = self._pins(self.laboratory.candidate.locked)
        return Way(kind=WayKind.STRATEGY, pins=pins, seen=tuple(seen[:_MOST_SHOWN]), was=_seen(was) if was else None)

    def _judge(
        self, case: _Case, kind: WayKind, trial: Trial, pins: Mapping[str, str], *, held: Sequence[str] = ()
    ) -> None:
        """A way where every cell of the trial that is of the cause passes; what does not is told as tried."""
        if trial.reason:
            told = f"{', '.join(held)} held back" if held else str(trial.mix)
            case.limit(f"with {told} there was nothing to be tried: {one_line(trial.reason)[:_REASON_LENGTH]}")
            return
        own = [record for (m, s), record in trial.records.items() if f"{m}/{s}" in case.blame.cells]
        if own and all(record.outcome is Outcome.PASSED for record in own):
            seen = [_seen(each, file=trial.files[each.model, each.strategy], trial=trial.id) for each in own]
            was = case.broken[case.blame.cell].base if case.blame.cell in case.broken else None
            case.add(Way(kind=kind, pins=pins, seen=tuple(seen), was=_seen(was) if was else None))
        else:
            case.failed += _failures(trial)

    def _pins(self, locked: Mapping[str, str], *, also: Iterable[str] = ()) -> dict[str, str]:
        """The versions in `locked` of what the requirements name and what moved, and of what `also` names."""
        names = [*(move.name for move in self.laboratory.moves if move.direct), *sorted(also)]
        return {name: locked[name] for name in dict.fromkeys(names) if name in locked}

    def _guilty(self, case: _Case, mix: Mix) -> set[str]:
        """What mends it may be of packages that no requirement names."""
        culprits = case.blame.culprits
        return {*mix.bounds, *(each.name for each in culprits.packages)} if culprits else set(mix.bounds)

    def _converts(self, spelling: str) -> bool:
        """Whether what a strategy serves is an artifact, and not PyTorch itself: that would be no conversion."""
        strategy = self.registry.strategies[split(spelling)[0]].declared
        runtime = self.registry.runtimes.get(strategy.runtime)
        return runtime is not None and runtime.value is not None and not runtime.value.needs_module

    def _nearest(self, records: Iterable[Record], case: _Case, model: str) -> list[Record]:
        """Those that have most in common with what broke first: the exporter, then the runtime, then the speed."""
        spelling = next(change.strategy for change in case.broken.values() if change.model == model)
        name = split(spelling)[0]
        runtime = self.registry.strategies[name].declared.runtime

        def distance(record: Record) -> tuple[bool, bool, float]:
            other = split(record.strategy)[0]
            served = self.registry.strategies[other].declared.runtime
            return other != name, served != runtime, record.latency_ms or float("inf")

        return sorted(records, key=distance)

    def _further(self, case: _Case, model: str) -> Iterator[TrialCell]:
        """Cells of the model that were not planned, and that the combination itself has all for."""
        planned = {change.strategy for change in self.comparison.changes if change.model == model}
        card = self.registry.models[model].value
        found: list[str] = []
        for name, entry in self.registry.strategies.items():
            declared = entry.declared
            lacking = card is not None and (
                (declared.needs_twin and not card.has_twin)
                or (declared.needs_implementation and not card.has_tensorflow_implementation)
            )
            if not lacking and self._converts(name) and not extension_of(self.registry, model, name, ()):
                found += [each for each in spellings(name, declared, "full") if each not in planned]
        broken = {split(change.strategy)[0] for change in case.broken.values() if change.model == model}
        found.sort(key=lambda each: split(each)[0] not in broken)
        yield from ((model, spelling) for spelling in found[:_MOST_STRATEGIES])


def _cell(name: str) -> TrialCell:
    model, _, strategy = name.partition("/")
    return model, strategy


def _failures(trial: Trial) -> list[Seen]:
    return [
        _seen(record, file=trial.files[cell], trial=trial.id)
        for cell, record in trial.records.items()
        if record.outcome not in (Outcome.PASSED, Outcome.NOT_APPLICABLE)
    ]


def _seen(record: Record, *, file: str = "", trial: str = "") -> Seen:
    return Seen(
        cell=f"{record.model}/{record.strategy}",
        outcome=record.outcome.value,
        relative_error=record.relative_error,
        latency_ms=record.latency_ms,
        rss_peak_mb=record.rss_peak_mb,
        file=file,
        trial=trial,
    )


def moved_pins(way: Way, candidate: Mapping[str, str]) -> dict[str, str]:
    """The pins of a way that are not the candidate's."""
    return {name: version for name, version in way.pins.items() if not same_version(version, candidate.get(name))}
