"""What a duel of the two sides told of latency, and what a policy makes of it.

The latencies of two tables are no evidence. Those of a duel are, where the environments of both tables can be had and
the cells that pass on both sides could be timed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.duel.deciding import CellDecision, Decision
from harness.duel.thresholds import LEAST
from harness.verdict.comparison import count_of, listed
from harness.verdict.evidence import Lack
from harness.verdict.policy import GatePolicy

Cell = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Duelled:
    """What a duel said of cells that pass in both tables.

    `cells` are those that were timed, `untimed` says of others why they were not. Where there was no duel at all,
    `none` says why and `remedy` what to do. `sides` are the combinations that it was of, as commands take them. `cut`
    are the cells that its budget left undecided, `fell_out` those of which a process did not come through a pair, and
    `unmeasured` those whose own threshold on that machine is not known. `pairs` of processes took `seconds` on a
    machine, `machine` in words. `notes` are what else to know.
    """

    cells: Mapping[Cell, CellDecision] = field(default_factory=dict)
    untimed: Mapping[Cell, str] = field(default_factory=dict)
    none: str = ""
    remedy: str = ""
    sides: tuple[str, str] = ("", "")
    cut: frozenset[Cell] = frozenset()
    fell_out: frozenset[Cell] = frozenset()
    unmeasured: frozenset[Cell] = frozenset()
    machine: str = ""
    pairs: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def of(self, decision: Decision) -> list[Cell]:
        """The cells of a decision."""
        return [key for key, cell in self.cells.items() if cell.decision is decision]

    @property
    def told(self) -> frozenset[Cell]:
        """The cells that have a pair: of these the duel's latency is to be believed, and not that of two tables."""
        return frozenset(key for key, cell in self.cells.items() if cell.pairs)

    @property
    def measuring(self) -> str:
        """The command that measures thresholds; those of either side count."""
        return f"harness duel {self.sides[0]} {self.sides[0]}"


@dataclass(frozen=True, kw_only=True)
class Slower:
    """A cell that was found to be slower by more than the policy allows it; `limit` is in percent."""

    model: str
    strategy: str
    found: CellDecision
    limit: float

    @property
    def name(self) -> str:
        """The cell without its combination."""
        return f"{self.model}/{self.strategy}"

    def __str__(self) -> str:
        return f"{self.name} by {effect_words(self.found)} (limit {self.limit:g} %)"


@dataclass(frozen=True, kw_only=True)
class LatencyJudged:
    """What a policy makes of a duel.

    `slower` fail. `lacking` is what leaves the question open where the policy asks for an answer. `limits` are those of
    the cells that have one, in percent, and `open_cells` the ones of these that were not decided, or are equal within
    more than it.
    """

    slower: tuple[Slower, ...] = ()
    lacking: tuple[Lack, ...] = ()
    notes: tuple[str, ...] = ()
    limits: Mapping[Cell, float] = field(default_factory=dict)
    open_cells: tuple[Cell, ...] = ()

    @property
    def words(self) -> str:
        """What a verdict that fails on none of it rests on, as far as latency goes; empty where no cell has a limit."""
        decided = len(self.limits) - len(self.open_cells)
        told = f"none of {count_of(decided)} found slower than [gate] allows" if decided else ""
        left = f"the latency of {count_of(len(self.open_cells))} inconclusive" if self.open_cells else ""
        return ", ".join(filter(None, (told, left)))


def judge_latency(duelled: Duelled, policy: GatePolicy) -> LatencyJudged:
    """What `policy` makes of a duel: who is slower than it allows, and what it leaves open."""
    if duelled.none:
        return LatencyJudged(
            lacking=(Lack(reason=f"no latency was told: {duelled.none}", remedy=duelled.remedy),), notes=duelled.notes
        )
    limits = {
        cell: limit
        for cell in (*duelled.cells, *duelled.untimed)
        if (limit := policy.latency_percent(*cell)) is not None
    }
    slower = tuple(
        Slower(model=cell[0], strategy=cell[1], found=duelled.cells[cell], limit=limits[cell])
        for cell in duelled.of(Decision.SLOWER)
        if cell in limits
    )
    unlimited = [cell for cell in duelled.of(Decision.SLOWER) if cell not in limits]
    coarse = _coarse(limits, duelled)
    undecided = {cell: duelled.cells[cell].reason for cell in duelled.of(Decision.INCONCLUSIVE)}
    undecided |= {**coarse, **duelled.untimed}
    open_cells = [cell for cell in undecided if cell in limits]
    notes = [*([_summary(duelled)] if duelled.cells else []), *duelled.notes]
    notes += [f"Slower than [gate] allows: {listed([str(each) for each in slower])}."] if slower else []
    notes += _told_from(limits, duelled)
    if unlimited:
        named = listed([f"{_name(cell)} by {effect_words(duelled.cells[cell])}" for cell in unlimited])
        notes.append(f"Slower, and no latency_percent of [gate] is for it: {named}.")
    notes += _open(undecided)
    lacking = []
    if open_cells and policy.latency_must_be_told:
        names = listed([_name(cell) for cell in open_cells])
        reason = f"the latency of {count_of(len(open_cells))} is inconclusive, and [gate] asks for it: {names}"
        lacking.append(Lack(reason=reason, remedy=_remedy(open_cells, limits, duelled)))
    return LatencyJudged(
        slower=slower,
        lacking=tuple(lacking),
        notes=tuple(notes),
        limits=limits,
        open_cells=tuple(open_cells),
    )


def effect_words(found: CellDecision) -> str:
    """`12.3 % (10.9 to 14.0 %)`: by what share it is slower, or faster where that is below 0, with its interval."""
    told = "not known" if found.effect is None else f"{100 * found.effect:.1f} %"
    if found.lower is None or found.upper is None:
        return told
    return f"{told} ({100 * found.lower:.1f} to {100 * found.upper:.1f} %)"


def _summary(duelled: Duelled) -> str:
    counts = {decision: len(duelled.of(decision)) for decision in Decision}
    counted = ", ".join(f"{count} {decision.value}" for decision, count in counts.items())
    untimed = f", {len(duelled.untimed)} not timed" if duelled.untimed else ""
    took = f"{duelled.pairs} pairs in {duelled.seconds / 60:.1f} minutes"
    return (
        f"Latency is told by a duel of {count_of(len(duelled.cells))}: {counted}{untimed}; {took}, {duelled.machine}."
    )


def _coarse(limits: Mapping[Cell, float], duelled: Duelled) -> dict[Cell, str]:
    """The cells that are equal within more than their limit, which says nothing of the limit; each with the words."""
    return {
        cell: f"equal within {100 * found.equal_within:.3g} % where {limits[cell]:g} % are allowed"
        for cell, found in duelled.cells.items()
        if cell in limits and found.decision is Decision.EQUAL and _above(found.equal_within, limits[cell])
    }


def _remedy(open_cells: Sequence[Cell], limits: Mapping[Cell, float], duelled: Duelled) -> str:
    """What to do about cells that were left open, by what left each of them open."""
    of: dict[str, list[Cell]] = {}
    for cell in open_cells:
        if cell in duelled.untimed:
            kind = "untimed"
        elif cell in duelled.fell_out:
            kind = "fell out"
        elif cell in duelled.cut:
            kind = "cut"
        elif not _above(duelled.cells[cell].slower_than, limits[cell]):
            kind = "undecided"
        else:
            kind = "unmeasured" if cell in duelled.unmeasured and limits[cell] >= 100 * LEAST else "coarse"
        of.setdefault(kind, []).append(cell)
    words = {
        "cut": "give the duel more time (--duel-budget), on a quiet machine: it goes on from the pairs that it has",
        "undecided": "gate again on a quieter machine, or raise the latency_percent of {}",
        "unmeasured": f"`{duelled.measuring}` measures what this machine can tell of {{}}",
        "coarse": "raise the latency_percent of {} to what this machine can tell, or gate on a quieter one",
        "fell out": "find out why a process of {} did not come through its pairs: the notes say which",
        "untimed": "mend what keeps {} from being timed: the notes say what",
    }
    said = [text.format(listed([_name(cell) for cell in of[kind]])) for kind, text in words.items() if kind in of]
    return f"{'; '.join(said)}."


def _told_from(limits: Mapping[Cell, float], duelled: Duelled) -> list[str]:
    """The cells of which this machine cannot tell as little as their limit."""
    named = [
        f"{_name(cell)} (limit {limits[cell]:g} %, told from {100 * found.slower_than:.3g} %)"
        for cell, found in duelled.cells.items()
        if cell in limits and _above(found.slower_than, limits[cell])
    ]
    return [f"This machine does not tell as little as the limit: {listed(named)}."] if named else []


def _above(share: float, limit: float) -> bool:
    """Whether a share is above a limit in percent, rounding apart."""
    return 100 * share > limit * (1 + 1e-9)


def _open(undecided: Mapping[Cell, str]) -> list[str]:
    """Why cells were not decided, a note a reason."""
    of: dict[str, list[str]] = {}
    for cell, reason in undecided.items():
        of.setdefault(reason, []).append(_name(cell))
    return [f"Latency inconclusive, {reason}: {listed(names)}." for reason, names in of.items()]


def _name(cell: Sequence[str]) -> str:
    return "/".join(cell)
