"""A laboratory that writes down each trial that was asked of it, for `bump.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.bump.moves import Mix, Move, Side
from harness.bump.schema import MixTaken, TrialEntry, TrialRecord
from harness.bump.trials import Laboratory, Resolution, Trial, TrialCell


@dataclass
class Logbook:
    """Another laboratory, and the trials that it was asked for, in order; a trial that was asked again stands once."""

    laboratory: Laboratory
    entries: list[TrialEntry] = field(default_factory=list)

    @property
    def base(self) -> Side:
        """As the laboratory's."""
        return self.laboratory.base

    @property
    def candidate(self) -> Side:
        """As the laboratory's."""
        return self.laboratory.candidate

    @property
    def moves(self) -> tuple[Move, ...]:
        """As the laboratory's."""
        return self.laboratory.moves

    def resolve(self, mix: Mix) -> Resolution:
        """As the laboratory's."""
        return self.laboratory.resolve(mix)

    def versions(self, package: str) -> tuple[str, ...]:
        """As the laboratory's."""
        return self.laboratory.versions(package)

    def run(self, mix: Mix, cells: Sequence[TrialCell]) -> Trial:
        """As the laboratory's, written down."""
        return self._noted(self.laboratory.run(mix, cells), None)

    def cross(self, *, converted: Mix, served: Mix, cell: TrialCell) -> Trial:
        """As the laboratory's, written down."""
        return self._noted(self.laboratory.cross(converted=converted, served=served, cell=cell), converted)

    def _noted(self, trial: Trial, converted: Mix | None) -> Trial:
        entry = entry_of(trial, self.laboratory.base.locked, converted=converted)
        for number, known in enumerate(self.entries):
            if (known.id, known.converted) == (entry.id, entry.converted):
                records = {(record.model, record.strategy): record for record in (*known.records, *entry.records)}
                self.entries[number] = replace(
                    entry,
                    records=tuple(records.values()),
                    seconds=max(known.seconds, entry.seconds),
                    installed=known.installed or entry.installed,
                    kept=known.kept and entry.kept,
                )
                return trial
        self.entries.append(entry)
        return trial


def entry_of(trial: Trial, base: Mapping[str, str], *, converted: Mix | None = None) -> TrialEntry:
    """What `bump.json` keeps of a trial; `base` are the versions of the base's lock."""
    named = {*trial.mix.pins, *trial.mix.bounds, *trial.mix.without}
    names = sorted(
        name for name in {*base, *trial.pins} if name in named or base.get(name) != trial.pins.get(name, base.get(name))
    )
    return TrialEntry(
        id=trial.id,
        mix=MixTaken.of(trial.mix),
        converted=None if converted is None else MixTaken.of(converted),
        packages={name: trial.pins.get(name) for name in names} if trial.pins else {},
        records=tuple(
            TrialRecord(
                model=model,
                strategy=strategy,
                outcome=record.outcome.value,
                stage=record.stage.value,
                fingerprint=record.fingerprint,
                file=trial.files.get((model, strategy), ""),
            )
            for (model, strategy), record in trial.records.items()
        ),
        reason=trial.reason,
        seconds=round(trial.seconds, 1),
        installed=trial.installed,
        kept=trial.kept,
    )
