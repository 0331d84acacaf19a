"""The memory of many cells at once, against that of one cell after another."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.bench.record import Record
from harness.tables.lazy import Lazy
from harness.verdict.many_parts import parts_of
from harness.verdict.many_shifts import memory_of_many
from harness.verdict.parts import Launches, Taken, parted
from harness.verdict.seen import Key
from harness.verdict.shifts import MANY_CELLS, memory_changes
from harness.verdict.together import Pair
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
    many = parts_of(pairs, both)
    for place, pair in enumerate(pairs):
        alone = parted(*pair, both)
        assert (many.of(place, 0.0, 0.0) if many.launches[place] else None) == alone


@st.composite
def measured(draw: st.DrawFn) -> tuple[list[Pair], Launches]:
    """Cells of a few models, strategies and runtimes, whose memory moved alike in part."""
    pairs: list[Pair] = []
    sides: tuple[dict[Key, Taken], dict[Key, Taken]] = ({}, {})
    shared = {name: draw(st.sampled_from([0.0, 0.0, 30.0, -12.5])) for name in ("native", "onnx:16", "onnx:17", "tf")}
    beyond = {name: draw(st.sampled_from([0.0, 0.0, 20.0, -8.0])) for name in shared}
    for model, strategy in itertools.product(range(draw(st.integers(1, 12))), shared):
        provider = "CPU" if strategy.startswith("onnx") else draw(st.sampled_from(["torch-cpu", "torch-cpu", None]))
        imports, more = draw(st.floats(20.0, 90.0)), draw(st.floats(5.0, 400.0))
        own = draw(st.sampled_from([0.0, 0.0, 0.0, 0.0, 90.0, -40.0]))
        whole, peak = round(imports + more, 1), draw(st.sampled_from([True, True, True, False]))
        before, after = (
            passed(
                f"m{model}",
                strategy,
                provider=provider,
                rss_import_mb=round(imports + moved, 1),
                rss_load_mb=round(whole + moved, 1),
                rss_peak_mb=round(whole + moved + further, 1) if peak else None,
                rss_source=draw(st.sampled_from(["VmHWM"] * 9 + ["other"])),
            )
            for moved, further in ((0.0, 0.0), (shared[strategy], own + beyond[strategy]))
        )
        pairs.append((before, after))
        for side, record in zip(sides, (before, after), strict=True):
            count = draw(st.sampled_from([0, 1, 3, 3, 6]))
            wide = draw(st.sampled_from([0.0, 0.5, 30.0]))
            values = [Taken.by(record) for _ in range(count)]
            side[record.cell] = Taken(
                imports=[each.imports[0] for each in values],
                loads=[each.loads[0] for each in values],
                peaks=[
                    None if each.peaks[0] is None else round(each.peaks[0] + number * wide, 1)
                    for number, each in enumerate(values)
                ],
            )
    return pairs, sides


@given(measured())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_many_share_is_what_few_share(found: tuple[list[Pair], Launches]) -> None:
    pairs, launches = found
    few, many = memory_changes(pairs, launches=launches), memory_of_many(pairs, launches)
    assert many == few
    assert repr(many) == repr(few)


def test_cells_from_some_number_on_are_asked_at_once() -> None:
    pairs: list[Pair] = [
        (passed(f"m{number}", "native", rss_peak_mb=100.0), passed(f"m{number}", "native", rss_peak_mb=180.0))
        for number in range(MANY_CELLS)
    ]
    assert isinstance(memory_changes(pairs).cells, Lazy)
    assert isinstance(memory_changes(pairs[1:]).cells, tuple)
    assert [len(each.cells) for each in memory_changes(pairs).own] == [MANY_CELLS]
