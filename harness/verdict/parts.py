"""Memory of a cell on both sides, parted where it is taken: up to the import of the runtime, and beyond it.

What is taken at import hardly varies between launches. Beyond it, where the artifact is loaded and run, readers of
large files and allocators make it vary. Where there are three launches a side or more, they tell how much, those of all
cells of one model under one runtime together. A single launch does not: between single launches of equal versions, 299
pairs in committed tables, the part beyond the import differed by up to 0.26 of itself. So it has to differ by
`LAUNCH_SHARE` there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from harness.tables.launches import FEWEST_LAUNCHES, columns_by_cell
from harness.tables.schema import Table
from harness.verdict.memory import Launched, MemoryShift, shift_of
from harness.verdict.seen import Key, Row
from harness.verdict.together import Pair, runtime_of

LAUNCH_SHARE = 0.3
"""By what share of the memory beyond the import a cell has to move where a side has fewer than three launches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What the launches of one cell took, or the cell itself, in MiB, a value a launch; None was not measured."""

    imports: list[float | None] = field(default_factory=list)
    loads: list[float | None] = field(default_factory=list)
    peaks: list[float | None] = field(default_factory=list)

    @classmethod
    def by(cls, record: Row) -> Taken:
        """What the row of a cell says, as one launch."""
        return cls(imports=[record.rss_import_mb], loads=[record.rss_load_mb], peaks=[record.rss_peak_mb])

    def having(self, top: str) -> Taken:
        """Those launches that have a value of `top`."""
        tops: list[float | None] = getattr(self, top)
        if None not in tops:
            return self
        kept = [at for at, value in enumerate(tops) if value is not None]
        columns = ([column[at] for at in kept] for column in (self.imports, self.loads, self.peaks))
        imports, loads, peaks = columns
        return Taken(imports=imports, loads=loads, peaks=peaks)


_NOTHING = Taken()
_COLUMNS = ("rss_import_mb", "rss_load_mb", "rss_peak_mb")

Launches = tuple[Mapping[Key, Taken], Mapping[Key, Taken]]
"""The launches of each side's cells, by cell; empty where a table has none."""


def launches_of(table: Table) -> dict[Key, Taken]:
    """The memory of a table's launches by cell."""
    return {
        cell: Taken(imports=imports, loads=loads, peaks=peaks)
        for cell, (imports, loads, peaks) in columns_by_cell(table.launches, _COLUMNS)
    }


@dataclass(kw_only=True)
class Part:
    """One part of a cell's memory on both sides, by launches, and what of the difference others share."""

    base: Launched
    candidate: Launched
    common_mb: float = 0.0

    @property
    def left_mb(self) -> float:
        """The difference that is not shared."""
        return self.candidate.median - self.base.median - self.common_mb

    def shift(self, noise_mb: float) -> MemoryShift:
        """The rule's word on what is not shared: the sides are brought together by what is, upwards."""
        up, down = max(self.common_mb, 0.0), max(-self.common_mb, 0.0)
        return shift_of(self.base.more(up), self.candidate.more(down), noise_mb=noise_mb)


@dataclass(kw_only=True)
class Parted:
    """The memory of one cell on both sides, in MiB.

    `whole` is all that it took: its peak, or what it had after loading where a side has no peak. `beyond` is what it
    took beyond the import, with what the base took up to there added on both sides, so that it is of the size of all
    that the process takes. `load_mb` is what of its shift is there after loading.
    """

    whole: Part
    imported: Part | None
    beyond: Part
    start_mb: float
    load_mb: float | None
    launches: int

    @property
    def common_mb(self) -> float:
        """What it moved by with others, of both parts."""
        return self.beyond.common_mb + (self.imported.common_mb if self.imported else 0.0)


def parted(before: Row, after: Row, launches: Launches) -> Parted | None:
    """The memory of a cell; None where it was not measured on both sides, by launches where both have enough."""
    key = before.cell
    own = [side.get(key, _NOTHING) for side in launches]
    for top in ("peaks", "loads"):
        sides = [side.having(top) for side in own]
        if min(len(side.peaks) for side in sides) < FEWEST_LAUNCHES:
            sides = [Taken.by(before), Taken.by(after)]
        tops = [_values(getattr(side, top)) for side in sides]
        if not all(tops):
            continue
        imports = [_values(side.imports) for side in sides]
        whole, imported, start_mb, beyond = _part(tops), None, 0.0, tops
        if all(imports):
            imported = _part(imports)
            start_mb = imported.base.median
            beyond = [_less(top, taken, start_mb) for top, taken in zip(tops, imports, strict=True)]
            if any(min(side) <= 0 for side in beyond):
                imported, start_mb, beyond = None, 0.0, tops
        loads = [_values(side.loads) for side in sides] if imported else []
        load_mb = None
        if imported and all(loads):
            load_mb = median(loads[1]) - median(loads[0]) - imported.left_mb
        return Parted(
            whole=whole,
            imported=imported,
            beyond=_part(beyond),
            start_mb=start_mb,
            load_mb=load_mb,
            launches=len(min(tops, key=len)),
        )
    return None


def _part(sides: Sequence[Sequence[float]]) -> Part:
    base, candidate = sides
    return Part(base=Launched.of(base), candidate=Launched.of(candidate))


def _values(column: Sequence[float | None]) -> list[float]:
    """A column of all launches of a side; nothing where one lacks it, or it is no memory."""
    values = [value for value in column if value is not None]
    whole = len(values) == len(column) and bool(values)
    # A sum is finite where all are.
    return values if whole and min(values) > 0 and math.isfinite(sum(values)) else []


def _less(tops: Sequence[float], taken: Sequence[float], start_mb: float) -> list[float]:
    return [top - each + start_mb for top, each in zip(tops, taken, strict=True)]


def noise_of(pairs: Sequence[Pair], moved: Mapping[Key, Parted]) -> dict[Key, float]:
    """What each cell's memory beyond the import varies by between launches of one side."""
    widest: dict[tuple[str, str], float] = {}
    for pair in pairs:
        each, shared = moved[pair[0].cell], (pair[0].model, runtime_of(pair))
        ranges = [side.high - side.low for side in (each.beyond.base, each.beyond.candidate)]
        widest[shared] = max(widest.get(shared, 0.0), *ranges)
    found = {}
    for pair in pairs:
        key, each = pair[0].cell, moved[pair[0].cell]
        smaller_mb = min(each.beyond.base.median, each.beyond.candidate.median) - each.start_mb
        few = each.launches < FEWEST_LAUNCHES
        found[key] = LAUNCH_SHARE * max(smaller_mb, 0.0) if few else widest[pair[0].model, runtime_of(pair)]
    return found
