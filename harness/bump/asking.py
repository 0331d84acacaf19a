"""What a cell came to in a mix, held against what it came to in the base's table and in the candidate's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.bench.errors import HarnessError, RunInterruptedError
from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.bench.text import one_line
from harness.bump.moves import Mix
from harness.bump.schema import Answer, Evidence, MixTaken
from harness.bump.trials import BudgetSpentError, Laboratory, Trial, TrialCell
from harness.verdict.causes import Cause
from harness.verdict.comparison import CellChange
from harness.verdict.tolerance import by_tolerance_of

_COMPANIONS = 3
"""Further cells that run in an environment that one is installed for: they take a third of what another one takes."""


@dataclass(frozen=True, kw_only=True)
class Sought:
    """A cell that got worse, and how it looks on both sides: what a trial is held against."""

    base: Record
    candidate: Record

    @classmethod
    def of(cls, change: CellChange) -> Sought | None:
        """What `change` is about; None where a side has no record of it."""
        if change.base is None or change.candidate is None:
            return None
        return cls(base=change.base, candidate=change.candidate)

    @property
    def cell(self) -> TrialCell:
        """The model and the strategy's spelling."""
        return self.base.model, self.base.strategy

    @property
    def name(self) -> str:
        """The cell without its combination."""
        return "/".join(self.cell)

    def answer(self, record: Record) -> Answer:
        """Whether `record`, of a trial, works, is the break of the candidate, is as in the base, or is something else.

        What passes works, judged by the base's tolerance, and nothing else does. A failure of another stage or of
        another fingerprint is not the break.
        """
        judged, _ = by_tolerance_of(self.base, record)
        if judged.outcome is Outcome.PASSED:
            return Answer.WORKS
        if _alike(judged, self.candidate):
            return Answer.BREAKS
        return Answer.AS_BEFORE if _alike(judged, self.base) else Answer.OTHERWISE


def _alike(one: Record, other: Record) -> bool:
    if one.outcome is not other.outcome:
        return False
    # Of what cannot exist the reason's wording is no cause, nor is the stage at which that was found.
    return one.outcome is Outcome.NOT_APPLICABLE or (one.stage, one.fingerprint) == (other.stage, other.fingerprint)


@dataclass
class Questions:
    """Asks a laboratory what cells come to in mixes, and knows what it was told.

    Two mixes with one solution are one. `companions` are cells of which as much will be asked: they are tried in the
    environments that others are installed for.
    """

    laboratory: Laboratory
    companions: tuple[Sought, ...] = ()
    _told: dict[tuple[frozenset[tuple[str, str]], TrialCell], Trial] = field(default_factory=dict)

    def resolves(self, mix: Mix) -> bool:
        """Whether `mix` has a solution."""
        return not self.laboratory.resolve(mix).reason

    def asked(self, mix: Mix, sought: Sought) -> Evidence:
        """What the cell comes to in `mix`; nothing is installed for a mix without a solution, or for one known.

        Raises `BudgetSpentError`, and `InfrastructureError` where there can be no result.
        """
        resolution = self.laboratory.resolve(mix)
        if resolution.reason:
            return _evidence(mix, sought, Answer.UNRESOLVABLE, reason=resolution.reason)
        versions = frozenset(resolution.pins.items())
        if (versions, sought.cell) not in self._told:
            cells = [sought.cell, *self._further(versions, sought)]
            trial = self.laboratory.run(mix, cells)
            self._told |= {(versions, cell): trial for cell in cells}
        return evidence_of(self._told[versions, sought.cell], sought)

    def _further(self, versions: frozenset[tuple[str, str]], sought: Sought) -> Iterable[TrialCell]:
        cells = [each.cell for each in self.companions if each.cell != sought.cell]
        return [cell for cell in dict.fromkeys(cells) if (versions, cell) not in self._told][:_COMPANIONS]

    def known(self, mix: Mix, sought: Sought) -> Evidence | None:
        """What is known already of the cell in `mix`; None where nothing is."""
        versions = frozenset(self.laboratory.resolve(mix).pins.items())
        trial = self._told.get((versions, sought.cell))
        return None if trial is None else evidence_of(trial, sought)


def evidence_of(trial: Trial, sought: Sought) -> Evidence:
    """What `trial` says of the cell."""
    record = trial.records.get(sought.cell)
    if record is None:
        reason = trial.reason or "the trial has no record of the cell"
        return _evidence(trial.mix, sought, Answer.OTHERWISE, trial=trial.id, reason=reason)
    answer = sought.answer(record)
    reason = "" if answer is not Answer.OTHERWISE else f"{record.outcome.value} at {record.stage.value}"
    file = trial.files.get(sought.cell, "")
    return _evidence(trial.mix, sought, answer, trial=trial.id, file=file, reason=reason)


def _evidence(
    mix: Mix, sought: Sought, answer: Answer, *, trial: str = "", file: str = "", reason: str = ""
) -> Evidence:
    return Evidence(
        mix=MixTaken.of(mix), cell=sought.name, answer=answer, trial=trial, file=file, reason=" ".join(reason.split())
    )


def cheapest(cause: Cause) -> tuple[Sought, ...]:
    """The cells of a cause that both sides have, the one that took the least time first: it stands for all."""
    found = [sought for change in cause.changes if (sought := Sought.of(change)) is not None]
    return tuple(sorted(found, key=lambda each: _seconds(each.base) + _seconds(each.candidate)))


def _seconds(record: Record) -> float:
    return float("inf") if record.duration_s is None else record.duration_s


def carried_on(phase: Callable[[], None], *, before: str, limit: Callable[[str], None]) -> None:
    """One phase of what is asked about one cause; `limit` is told what ends it before its end.

    `before` says what was not reached then. Raises `RunInterruptedError` where a person ends it.
    """
    try:
        phase()
    except RunInterruptedError:
        raise
    except BudgetSpentError:
        limit(f"the time for trials was over before {before}")
    except HarnessError as error:  # a model that was saved meanwhile, too: the verdict stands
        limit(f"before {before} a trial came to no end, which is no result: {one_line(str(error))}")
