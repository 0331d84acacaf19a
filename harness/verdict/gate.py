"""What a policy makes of a comparison: may this be merged?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from harness.verdict.comparison import UNTOLD, WORSE, Category, Comparison, count_of
from harness.verdict.evidence import models_of, weigh


class Decision(Enum):
    """The verdict in words. Its exit code is that of `harness gate`."""

    MAY_MERGE = "may merge"
    DO_NOT_MERGE = "do not merge"
    CANNOT_TELL = "cannot tell"

    @property
    def exit_code(self) -> int:
        """0 nothing worse, 1 something is worse, 3 could not tell."""
        return {Decision.MAY_MERGE: 0, Decision.DO_NOT_MERGE: 1, Decision.CANNOT_TELL: 3}[self]


@dataclass(frozen=True, kw_only=True)
class GatePolicy:
    """Which categories are worse, which leave the question open, and whether a moved native output is worse.

    No policy makes up for evidence that is not there.
    """

    worse: frozenset[Category] = WORSE
    untold: frozenset[Category] = UNTOLD
    moved_natives: bool = True


DEFAULT_POLICY = GatePolicy()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The decision, the reasons for it, and what it does not rest on.

    `remedy` is what to do where the evidence for a zero is lacking; empty elsewhere.
    """

    decision: Decision
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    remedy: str = ""

    @property
    def exit_code(self) -> int:
        """The exit code of `harness gate`."""
        return self.decision.exit_code


LATENCY_NOTE = "Latency and memory never decide: one launch a side is no evidence."


def judge(comparison: Comparison, *, policy: GatePolicy = DEFAULT_POLICY, unfinished: Iterable[str] = ()) -> Verdict:
    """The verdict on `comparison`. Something worse outweighs what could not be told, and a zero says what it rests on.

    `unfinished` says what is newer than one of the tables and has not come to its end, a phrase each.
    """
    worse = _counted(comparison, policy.worse)
    if comparison.moved_natives and policy.moved_natives:
        worse.append(natives_words(comparison))
    evidence = weigh(comparison, unfinished=unfinished)
    untold = [*_counted(comparison, policy.untold), *(lack.reason for lack in evidence.lacking)]
    compared = [change for change in comparison.changes if change.category not in policy.untold]
    notes = (*evidence.notes, LATENCY_NOTE)
    if worse:
        beside = [f"Beside that, not all could be told: {', '.join(untold)}."] if untold else []
        return Verdict(decision=Decision.DO_NOT_MERGE, reasons=tuple(worse), notes=(*beside, *notes))
    if untold:
        beside = ["Nothing is worse among the cells that could be compared."] if compared else []
        remedy = evidence.lacking[0].remedy if evidence.lacking else ""
        return Verdict(decision=Decision.CANNOT_TELL, reasons=tuple(untold), notes=(*beside, *notes), remedy=remedy)
    reasons = (f"nothing is worse among {count_of(len(compared))}", f"which rests on {evidence.words}")
    return Verdict(decision=Decision.MAY_MERGE, reasons=reasons, notes=notes)


def natives_words(comparison: Comparison) -> str:
    """`native output of 2 models moved`."""
    return f"native output of {models_of(len(comparison.moved_natives))} moved"


def _counted(comparison: Comparison, categories: frozenset[Category]) -> list[str]:
    """`3 cells newly failing`, a phrase for each of `categories` that has cells, the worst first."""
    return [f"{count_of(n)} {c.words}" for c, n in comparison.counts.items() if c in categories]
