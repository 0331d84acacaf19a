"""Who follows a run; see `harness.report.live`."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol


class Observer(Protocol):
    """Is told what a run does, as it does it."""

    def begin(
        self,
        combination: str,
        planned: int,
        done: Mapping[tuple[str, str], str],
        waiting: AbstractSet[tuple[str, str]],
    ) -> None:
        """A combination's cells begin; `done` holds what was recorded before: model, strategy, outcome.

        `waiting` are cells that came through all but timing before, and wait for that still.
        """

    def started(self, model: str, strategy: str) -> None:
        """A cell is under way."""

    def waiting(self, model: str, strategy: str) -> None:
        """A cell came through all but timing, and waits for that."""

    def timing(self, model: str, strategy: str) -> None:
        """A cell that waited is timed."""

    def ended(self, model: str, strategy: str, outcome: str, stage: str) -> None:
        """A cell has its record."""

    def stopped(self, model: str, strategy: str) -> None:
        """A cell ended beside others without a record, and runs once more."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

    def busy(self, text: str) -> None:
        """What is being done before cells run."""
