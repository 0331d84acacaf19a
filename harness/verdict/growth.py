"""Memory in a verdict: what grew by more than a policy allows, and which limits the launches cannot be held against.

A limit is held against what was found (`harness.verdict.shifts`). A cell whose figures are above its limit, and whose
launches do not tell whether that is more than what they vary by, is no zero: more launches tell. Where the figures are
within the limit, and a growth of its size could have been missed, that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.tables.launches import FEWEST_LAUNCHES
from harness.verdict.comparison import Comparison, count_of, listed
from harness.verdict.evidence import Lack
from harness.verdict.memory import LEAST_MB, LEAST_SHARE
from harness.verdict.policy import GatePolicy
from harness.verdict.seen import Key
from harness.verdict.shifts import CellMemory

_MORE_LAUNCHES = 6
"""Of so many launches of a side the smallest and the largest are passed over."""


@dataclass(frozen=True, kw_only=True)
class MemoryGrowth:
    """A cell whose memory was found to have grown by more percent than the policy allows it."""

    memory: CellMemory
    limit: float

    @property
    def together(self) -> bool:
        """Whether what its runtime's or strategy's cells share is above the limit by itself."""
        return self.memory.common_percent > self.limit

    def __str__(self) -> str:
        grown = self.memory
        return f"{grown.name} by {grown.found_mb:.0f} MiB, {grown.percent:.1f} % (limit {self.limit:g} %)"


@dataclass(frozen=True, kw_only=True)
class MemoryJudged:
    """What a policy makes of memory: `grown` fail, `lacking` is what leaves the question open.

    `limits` are those of the cells that have one, in percent, and `open_cells` the ones of these of which launches do
    not tell whether they fail.
    """

    grown: tuple[MemoryGrowth, ...] = ()
    limits: Mapping[Key, float] = field(default_factory=dict)
    open_cells: tuple[Key, ...] = ()
    lacking: tuple[Lack, ...] = ()
    notes: tuple[str, ...] = ()


def judge_memory(comparison: Comparison, policy: GatePolicy) -> MemoryJudged:
    """What `policy` makes of the memory of cells that pass on both sides."""
    limited = [
        (each, limit)
        for each in (comparison.memory.cells if policy.names("memory_percent") else ())
        if (limit := policy.memory_percent(each.model, each.strategy)) is not None
    ]
    grown = [MemoryGrowth(memory=each, limit=limit) for each, limit in limited if each.percent > limit]
    left = [(each, limit) for each, limit in limited if not each.percent > limit]
    unsure = [(each, limit) for each, limit in left if _unsure(each, limit)]
    blind = [
        (each, limit)
        for each, limit in left
        if each.percent_of(each.whole.needed_mb) > limit and (each, limit) not in unsure
    ]
    return MemoryJudged(
        grown=tuple(grown),
        limits={each.cell: limit for each, limit in limited},
        open_cells=tuple(each.cell for each, _ in unsure),
        lacking=(*_of_peaks(comparison, policy), *_of_launches(unsure)),
        notes=(*_grown_notes(comparison, grown), *_blind_notes(blind)),
    )


def _unsure(cell: CellMemory, limit: float) -> bool:
    """Whether the figures are above the limit, by more than counts as none, and the launches do not confirm it."""
    whole = cell.whole
    return not whole.found and whole.difference_mb > whole.least_mb and cell.percent_of(whole.difference_mb) > limit


def _of_peaks(comparison: Comparison, policy: GatePolicy) -> list[Lack]:
    """The cells that had a figure in the base and have none now."""
    unknown = [
        change.name
        for change in comparison.compared
        if change.passed
        and change.base
        and change.candidate
        and policy.memory_percent(*change.cell[:2]) is not None
        and change.base.rss_peak_mb is not None
        and change.candidate.rss_peak_mb is None
        and not comparison.numbers_left_out
    ]
    if not unknown:
        return []
    reason = f"{count_of(len(unknown))} had a peak of memory in the base and none now: {listed(unknown)}"
    remedy = "find out why the candidate has no peak: `rss_source` in its table says so."
    return [Lack(reason=reason, remedy=remedy)]


def _of_launches(unsure: Sequence[tuple[CellMemory, float]]) -> list[Lack]:
    """The cells whose launches do not tell whether memory grew by more than the limit."""
    if not unsure:
        return []
    named = [
        f"{each.name} by {each.whole.difference_mb:.0f} MiB, {each.percent_of(each.whole.difference_mb):.1f} % "
        f"({_bounds(each, limit)})"
        for each, limit in unsure
    ]
    reason = f"launches do not tell whether memory of {count_of(len(unsure))} grew that much: {listed(named)}"
    remedy = f"run both sides with --launches {_launches(unsure)}, and gate these tables."
    return [Lack(reason=reason, remedy=remedy)]


def _blind_notes(blind: Sequence[tuple[CellMemory, float]]) -> list[str]:
    """The cells whose limit is below what is told of them, by whether more launches would tell it."""
    said = []
    least = [(each, limit) for each, limit in blind if each.percent_of(each.whole.least_mb) > limit]
    varying = [pair for pair in blind if pair not in least]
    if varying:
        said.append(
            f"Launches tell no growth of memory as small as the limit: {_named(varying)}. "
            f"Run both sides with --launches {_launches(varying)}."
        )
    if least:
        said.append(
            f"Memory that moves by less than {LEAST_MB:g} MiB, or {100 * LEAST_SHARE:g} %, did not move, whatever "
            f"the limit: {_named(least)}."
        )
    return said


def _launches(cells: Sequence[tuple[CellMemory, float]]) -> int:
    """How many launches a side would tell more."""
    few = min(each.launches for each, _ in cells) < FEWEST_LAUNCHES
    return FEWEST_LAUNCHES if few else _MORE_LAUNCHES


def _named(cells: Sequence[tuple[CellMemory, float]]) -> str:
    return listed([f"{each.name} ({_bounds(each, limit)})" for each, limit in cells])


def _bounds(cell: CellMemory, limit: float) -> str:
    return f"limit {limit:g} %, told from {cell.percent_of(cell.whole.needed_mb):.1f} %"


def _grown_notes(comparison: Comparison, grown: Sequence[MemoryGrowth]) -> list[str]:
    """What failed on memory: of what cells share the share is named once, the rest by cell."""
    said = []
    above = {each.memory.cell: each for each in grown if each.together}
    for shift in comparison.memory.common:
        cells = [above[cell] for cell in shift.cells if cell in above]
        if cells and shift.difference_mb > 0:
            shares = sorted(each.memory.common_percent for each in cells)
            limits = sorted({each.limit for each in cells})
            said.append(
                f"{shift.group.words} by {shift.difference_mb:.0f} MiB in {count_of(len(cells))} alike, "
                f"{_range(shares, '.1f')} % (limit {_range(limits, 'g')} %): {shift.whose}"
            )
    own = [str(each) for each in grown if not each.together]
    said += [listed(own)] if own else []
    return [f"Memory grew: {'; '.join(said)}."] if said else []


def _range(values: Sequence[float], digits: str) -> str:
    """`5.0`, or `5.0 to 7.2`, of sorted values."""
    low, high = (format(value, digits) for value in (values[0], values[-1]))
    return low if low == high else f"{low} to {high}"
