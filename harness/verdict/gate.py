"""What a policy makes of a comparison: may this be merged?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from harness.bench.stages import Outcome
from harness.tables.collection import no_collection
from harness.tables.finding import Unfinished
from harness.verdict.comparison import Category, CellChange, Compared, Comparison, count_of, listed
from harness.verdict.duelled import Cell, Duelled, LatencyJudged, Slower, judge_latency
from harness.verdict.evidence import Lack, models_of, weigh
from harness.verdict.growth import MemoryGrowth, MemoryJudged, judge_memory
from harness.verdict.natives import NativeChange
from harness.verdict.policy import DEFAULT_POLICY, GatePolicy


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
class AccuracyDrop:
    """A cell whose accuracy, native or converted, dropped by more points than the policy allows it."""

    change: CellChange
    points: float
    limit: float

    def __str__(self) -> str:
        return f"{self.change.name} by {self.points:g} points (limit {self.limit:g})"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The decision, the reasons for it, and what it does not rest on.

    `failing` are the cells that the policy fails on, and `allowed` those that got worse and that it lets through;
    `moved` are the native outputs and `dropped` the accuracies that it fails on, `memory` and `latency` what the policy
    makes of these. `remedy` is what to do where the evidence for a zero is lacking; empty elsewhere. `duelled` is the
    duel that it rests on; None where there was to be none.
    """

    decision: Decision
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    remedy: str = ""
    failing: tuple[CellChange, ...] = ()
    allowed: tuple[CellChange, ...] = ()
    moved: tuple[NativeChange, ...] = ()
    dropped: tuple[AccuracyDrop, ...] = ()
    memory: MemoryJudged = field(default_factory=MemoryJudged)
    latency: LatencyJudged = field(default_factory=LatencyJudged)
    duelled: Duelled | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of `harness gate`."""
        return self.decision.exit_code

    @property
    def grown(self) -> tuple[MemoryGrowth, ...]:
        """The memories that it fails on."""
        return self.memory.grown

    @property
    def slower(self) -> tuple[Slower, ...]:
        """The latencies that it fails on."""
        return self.latency.slower

    @property
    def told(self) -> frozenset[Cell]:
        """The cells whose latency a duel told."""
        return self.duelled.told if self.duelled else frozenset()

    def by_policy(self, change: CellChange) -> str:
        """What the policy makes of a change where that is not what its category is by itself; empty elsewhere."""
        if change in self.allowed:
            return "allowed by [gate]"
        return "fails by [gate]" if change in self.failing and not change.category.worse else ""


def judge(
    comparison: Comparison,
    *,
    policy: GatePolicy = DEFAULT_POLICY,
    unfinished: Iterable[Unfinished] = (),
    duelled: Duelled | None = None,
) -> Verdict:
    """The verdict on `comparison`. Something worse outweighs what could not be told, and a zero says what it rests on.

    `unfinished` is what is newer than one of the tables and has not come to its end. `duelled` is what a duel of
    the sides told of latency, where there was to be one.
    """
    with no_collection():
        return _judged(comparison, policy, unfinished, duelled)


def _judged(
    comparison: Comparison, policy: GatePolicy, unfinished: Iterable[Unfinished], duelled: Duelled | None
) -> Verdict:
    failing = comparison.where(lambda each: _fails(policy, each))
    allowed = comparison.where(lambda each: each.category.worse and not _fails(policy, each))
    natives = [each for each in comparison.moved_natives if policy.fails_natives(each.model)]
    dropped, unknown, judged = _accuracy(comparison, policy)
    memory = judge_memory(comparison, policy)
    latency = judge_latency(duelled, policy) if duelled else LatencyJudged()
    worse = counted(failing)
    worse += [natives_words(natives)] if natives else []
    worse += [f"accuracy of {count_of(len(dropped))} dropped by more than [gate] allows"] if dropped else []
    worse += [f"memory of {count_of(len(memory.grown))} grew by more than [gate] allows"] if memory.grown else []
    worse += [f"{count_of(len(latency.slower))} slower than [gate] allows"] if latency.slower else []
    evidence = weigh(comparison, unfinished=unfinished)
    lacking = (*evidence.lacking, *unknown, *memory.lacking, *latency.lacking)
    open_cells = [each for each in comparison.compared if each.category.untold and not _fails(policy, each)]
    untold = [*counted(open_cells), *(lack.reason for lack in lacking)]
    compared = len(comparison.compared) - len(open_cells)
    excused = [*counted(allowed), *_allowed_natives(comparison, natives)]
    notes = [*_allowed_notes(allowed, comparison, natives), *evidence.notes]
    notes += [f"Accuracy dropped: {listed([str(each) for each in dropped])}."] if dropped else []
    notes += [*latency.notes, *memory.notes]
    notes += [*_idle_notes(comparison, policy, judged=judged), *policy.notes(duelled=duelled is not None)]
    found = partial(
        Verdict,
        failing=failing,
        allowed=allowed,
        moved=tuple(natives),
        dropped=tuple(dropped),
        memory=memory,
        latency=latency,
        duelled=duelled,
    )
    but = f" but what [gate] allows ({', '.join(excused)})" if excused else ""
    if worse:
        beside = [f"Beside that, not all could be told: {', '.join(untold)}."] if untold else []
        return found(decision=Decision.DO_NOT_MERGE, reasons=tuple(worse), notes=(*beside, *notes))
    if untold:
        beside = [f"Nothing is worse among the cells that could be compared{but}."] if compared else []
        remedy = lacking[0].remedy if lacking else ""
        return found(decision=Decision.CANNOT_TELL, reasons=tuple(untold), notes=(*beside, *notes), remedy=remedy)
    reasons = [f"nothing is worse among {count_of(compared)}{but}", f"which rests on {evidence.words}"]
    reasons += [latency.words] if latency.words else []
    return found(decision=Decision.MAY_MERGE, reasons=tuple(reasons), notes=tuple(notes))


def natives_words(moved: Sequence[NativeChange]) -> str:
    """`native output of 2 models moved`."""
    return f"native output of {models_of(len(moved))} moved"


def counted(changes: Sequence[CellChange | Compared]) -> list[str]:
    """`3 cells newly failing`, a phrase for each category that has some of `changes`, the worst first."""
    of = {category: sum(each.category is category for each in changes) for category in Category}
    return [f"{count_of(count)} {category.words}" for category, count in of.items() if count]


def _fails(policy: GatePolicy, change: Compared) -> bool:
    model, strategy, _ = change.cell
    return policy.fails(change.category, model=model, strategy=strategy)


def _allowed_natives(comparison: Comparison, failing: Sequence[NativeChange]) -> list[str]:
    allowed = [each for each in comparison.moved_natives if each not in failing]
    return [natives_words(allowed)] if allowed else []


def _allowed_notes(allowed: Sequence[CellChange], comparison: Comparison, natives: Sequence[NativeChange]) -> list[str]:
    """What got worse and does not fail, by name: a policy may allow it, and hides nothing."""
    of = {category: [each.name for each in allowed if each.category is category] for category in Category}
    said = [f"{category.words} {', '.join(names)}" for category, names in of.items() if names]
    moved = [each.model for each in comparison.moved_natives if each not in natives]
    said += [f"moved native output of {', '.join(moved)}"] if moved else []
    return [f"Worse, and allowed by [gate]: {'; '.join(said)}."] if said else []


def _idle_notes(comparison: Comparison, policy: GatePolicy, *, judged: int) -> list[str]:
    """The rules that are about no cell here, and the limits that no cell here can be held against."""
    cells = [each.cell[:2] for each in comparison.compared]
    idle = [rule.scope for rule in policy.rules if not any(rule.covers(*cell) for cell in cells)]
    said = [f"Rules of [gate] that match no cell here: {'; '.join(idle)}."] if idle else []
    limited = any(policy.accuracy_points(*cell) is not None for cell in cells)
    if limited and not judged:
        said.append("[gate] names accuracy_points, and no cell that it is for has an accuracy on both sides.")
    limited = any(policy.memory_percent(*cell) is not None for cell in cells)
    if limited and not any(policy.memory_percent(c.model, c.strategy) is not None for c in comparison.memory.cells):
        said.append("[gate] names memory_percent, and the memory of no cell that it is for can be compared.")
    return said


def _accuracy(comparison: Comparison, policy: GatePolicy) -> tuple[list[AccuracyDrop], list[Lack], int]:
    """The cells whose accuracy dropped too far, why that is not known of all, and of how many it is known."""
    dropped, unknown, judged = [], [], 0
    for change in comparison.changes if policy.names("accuracy_points") else ():
        limit = policy.accuracy_points(change.model, change.strategy)
        before, after = change.base, change.candidate
        if limit is None or before is None or after is None or change.category.untold:
            continue
        pairs = (
            (before.accuracy_native, after.accuracy_native),
            (before.accuracy_converted, after.accuracy_converted),
        )
        # Tables have four digits, of which a difference in binary is not quite the difference.
        points = [round(100 * (b - a), 6) for b, a in pairs if b is not None and a is not None]
        judged += bool(points)
        if any(not drop <= limit for drop in points):
            dropped.append(AccuracyDrop(change=change, points=max(points), limit=limit))
        if after.outcome is Outcome.PASSED and any(b is not None and a is None for b, a in pairs):
            unknown.append(change.name)
    if not unknown:
        return dropped, [], judged
    reason = f"{count_of(len(unknown))} had an accuracy in the base and none now: {listed(unknown)}"
    remedy = "run the candidate with the labelled data that the base had."
    return dropped, [Lack(reason=reason, remedy=remedy)], judged
