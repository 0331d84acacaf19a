"""What a night is to be looked at for: what it made, held against what was there before."""

from __future__ import annotations

from dataclasses import dataclass

from harness.bench.record import Record
from harness.tables.schema import NotReproduced, Table
from harness.verdict.comparison import Category, CellChange, Comparison
from harness.verdict.expectations import Foreseen
from harness.verdict.natives import NativeChange

_NO_OUTCOME = (
    Category.UNCHANGED,
    Category.NOT_COMPARABLE,
    Category.MISSING_IN_BASE,
    Category.MISSING_IN_CANDIDATE,
)
"""What is no other outcome of the same cell: its code is another, or it is of one of the tables alone."""


@dataclass(frozen=True, kw_only=True)
class Tonight:
    """The table of a night, and what it is against the one before; None where it is the first.

    `unexpected` are broken cells that no expectation meets, and that broke none in the table before.
    """

    table: Table
    comparison: Comparison | None
    unexpected: tuple[Record, ...] = ()

    @property
    def changes(self) -> tuple[CellChange, ...]:
        """The cells that came to something else than before."""
        found = self.comparison.changes if self.comparison else ()
        return tuple(each for each in found if each.category not in _NO_OUTCOME)

    @property
    def moved(self) -> tuple[NativeChange, ...]:
        """The models of which PyTorch itself computes something else than before."""
        return self.comparison.moved_natives if self.comparison else ()

    @property
    def findings(self) -> tuple[Record, ...]:
        """The `unexpected` cells that are not among the changes anyway."""
        changed = {(each.model, each.strategy) for each in self.changes}
        return tuple(each for each in self.unexpected if (each.model, each.strategy) not in changed)

    @property
    def not_reproducible(self) -> tuple[NotReproduced, ...]:
        """The cells that were run again with nothing changed, and came to something else."""
        return self.table.run.not_reproducible

    @property
    def changed(self) -> bool:
        """Whether there is anything that a person should look at."""
        return bool(self.changes or self.moved or self.findings or self.not_reproducible)


@dataclass(frozen=True, kw_only=True)
class Night:
    """All tables of a night, what is `missing` of it, and what was `refused`: a name and a reason each."""

    tables: tuple[Tonight, ...]
    missing: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def whole(self) -> bool:
        """Whether there is a table of everything, and nothing that made no sense."""
        return not (self.missing or self.refused)

    @property
    def changed(self) -> bool:
        """Whether there is anything that a person should look at."""
        return not self.whole or any(each.changed for each in self.tables)


def newly_unexpected(now: Foreseen | None, before: Foreseen | None) -> tuple[Record, ...]:
    """The broken cells that nobody expected, less those of which that was so `before`; none without expectations."""
    if now is None:
        return ()
    known = {(each.model, each.strategy) for each in (before.unexpected if before else ())}
    return tuple(each for each in now.unexpected if (each.model, each.strategy) not in known)
