"""How a cell ended: what two runs of it have to have in common to be said to have come to the same."""

from __future__ import annotations

from dataclasses import dataclass

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage


@dataclass(frozen=True)
class Ending:
    """An outcome, the stage that it came in, and the signature of a failure; not every row has one."""

    outcome: Outcome
    stage: Stage
    fingerprint: str | None = None

    @property
    def words(self) -> str:
        """`passed`, `failed at convert`."""
        if self.outcome is Outcome.PASSED:
            return str(self.outcome.value)
        return f"{self.outcome.value} at {self.stage.value}"

    def is_like(self, other: Ending) -> bool:
        """Whether both are one way to end, as far as they tell."""
        causes = {each.fingerprint for each in (self, other) if each.fingerprint}
        return (self.outcome, self.stage) == (other.outcome, other.stage) and len(causes) <= 1


def ending_of(record: Record) -> Ending:
    """How the cell of a record ended."""
    return Ending(record.outcome, record.stage, record.fingerprint)


def told_apart(before: Ending, now: Ending) -> tuple[str, str]:
    """Two endings in words; with their signatures where nothing else tells them apart."""
    if before.words != now.words:
        return before.words, now.words
    return f"{before.words} ({before.fingerprint})", f"{now.words} ({now.fingerprint})"
