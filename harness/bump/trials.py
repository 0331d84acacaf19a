"""Trials: one mix of versions each, resolved, installed, and tried with a few cells; what a laboratory gives and takes.

Whoever asks who is to blame or what passes instead asks a `Laboratory`. The one that really installs and runs is
`harness.bump.laboratory.Trials`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.bench.errors import HarnessError
from harness.bench.record import Record
from harness.bump.moves import Mix, Move, Side

TrialCell = tuple[str, str]
"""A model, and the spelling of a strategy."""


class BudgetSpentError(HarnessError):
    """The time for trials is over: what was asked for was not run."""


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a mix comes to: `pins` are all packages of its lock, or there is a `reason` why it has no solution."""

    pins: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One mix that was tried, with what became of its cells.

    `id` names it among all trials of the repository; `pins` are all installed packages, name to version. `records` are
    by cell, and `files` are where each record lies, relative to the repository's root. `reason` says why there are
    none: no solution, or what would not install. `seconds` is what it took when it was run. `installed` says whether
    an environment was made for it, `kept` whether all of it was there from before.
    """

    id: str
    mix: Mix
    pins: Mapping[str, str]
    records: Mapping[TrialCell, Record]
    files: Mapping[TrialCell, str]
    reason: str = ""
    seconds: float = 0.0
    installed: bool = False
    kept: bool = False


class Laboratory(Protocol):
    """Where mixes of a base and a candidate are tried."""

    @property
    def base(self) -> Side:
        """What the user has."""

    @property
    def candidate(self) -> Side:
        """What they want to move to."""

    @property
    def moves(self) -> tuple[Move, ...]:
        """What differs between the two."""

    def resolve(self, mix: Mix) -> Resolution:
        """What `mix` comes to. It takes 1 to 2 s, and is kept: asking again costs nothing."""

    def run(self, mix: Mix, cells: Sequence[TrialCell]) -> Trial:
        """`cells` in an environment of `mix`; kept, and never repeated.

        Raises `BudgetSpentError` where the time for trials is over, and `InfrastructureError` where there can be no
        result.
        """

    def cross(self, *, converted: Mix, served: Mix, cell: TrialCell) -> Trial:
        """`cell` as the runtime of `served` serves what `converted` made of it; the trial is of `served`.

        Without records, and with a reason, where `converted` does not come to an artifact. Raises as `run` does.
        """

    def versions(self, package: str) -> tuple[str, ...]:
        """The released versions of `package`, ascending, from the base's up to the newest.

        Those that are yanked, pre-releases, local, or without a file for this Python and this machine are left out.
        """
