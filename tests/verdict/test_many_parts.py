"""The parts of many cells at once, against those of one cell after another."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.record import Record
from harness.tables.launches import FEWEST_LAUNCHES
from harness.verdict.many_parts import parted_at_once
from harness.verdict.parts import Taken, parted
from tests.tables.samples import passed

MEMORY = st.floats(1.0, 2000.0).map(lambda mb: round(mb, 1)) | st.sampled_from([None, 0.0, 60.0])


@st.composite
def taken(draw: st.DrawFn) -> Taken:
    columns: dict[str, Any] = {}
    count = draw(st.integers(1, 13))
    for name in ("imports", "loads", "peaks"):
        whole = st.floats(10.0, 900.0).map(lambda mb: round(mb, 1))
        columns[name] = draw(st.lists(draw(st.sampled_from([whole, whole, MEMORY])), min_size=count, max_size=count))
    return Taken(**columns)


def pair_of(number: int) -> tuple[Record, Record]:
    made = passed(f"m{number}", "native")
    return made, made


@given(st.lists(st.tuples(taken(), taken()), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_many_come_to_what_each_comes_to(found: list[tuple[Taken, Taken]]) -> None:
    pairs = [pair_of(number) for number in range(len(found))]
    keys = [before.cell for before, _ in pairs]
    launches = tuple(dict(zip(keys, side, strict=True)) for side in zip(*found, strict=True))
    both = launches[0], launches[1]
    at_once = parted_at_once(pairs, both)
    for (before, after), sides in zip(pairs, found, strict=True):
        alone = parted(before, after, both)
        assert at_once.get(before.cell, alone) == alone
        values = [value for side in sides for column in (side.imports, side.loads, side.peaks) for value in column]
        enough = min(len(side.peaks) for side in sides) >= FEWEST_LAUNCHES
        if before.cell in at_once:
            assert enough
        elif enough and alone and alone.imported:
            assert not all(values)
