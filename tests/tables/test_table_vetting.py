"""What is told by columns to be surely right, against the rules that look at a row at a time."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

import pytest

from harness.bench.consistency import contradictions
from harness.bench.latency import BUSY_CORES, SPREAD
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.columns import Column, columns_of
from harness.tables.frames import rows_of, typed
from harness.tables.launches import Launch, cell_contradictions, launch_contradictions
from harness.tables.rows import format_rows
from harness.tables.schema import COLUMNS, LAUNCH_COLUMNS
from harness.tables.vetting import sure_cells, sure_launches, sure_records
from tests.tables.samples import failed, mismatched, not_applicable, passed, record, timed

SERVED: dict[str, Any] = {"provider": "CPUExecutionProvider", "rss_source": "VmHWM", "opset": 17, "service_rss_mb": 1.0}
BROKEN = {"error_type": "E", "error": "e", "fingerprint": "f"}

RIGHT = [
    passed("m", "native"),
    passed("m", "native", mse=1e-12, grade="excellent", cosine=1.0, accuracy_native=1.0, overhead_ms=-0.5, **SERVED),
    passed("m", "native", mse=1e-4, grade="acceptable", launches=3, probes_skipped=1, probes_passed=3),
    replace(passed("m", "native", latency_ms=None, launches=None, iterations=None), stage=Stage.PROBE),
    passed("m", "native", extension="tools", probes_relative_error=5e-5),
    replace(passed("m", "native", provider="CUDAExecutionProvider"), device="cuda"),
    failed("m", "native"),
    failed("m", "native", Stage.BUILD),
    failed("m", "native", Stage.MEASURE, probes_total=4, probes_passed=1),
    mismatched("m", "native", relative_error=0.5, tolerance=1e-4, mse=1.0, grade="investigate"),
    mismatched("m", "native", Stage.PROBE, probes_total=4, probes_passed=3),
    not_applicable("m", "native"),
    record("m", "native", Outcome.UNRESOLVABLE, Stage.RESOLVE, **BROKEN),
    record("m", "native", Outcome.CRASHED, Stage.LOAD, **BROKEN),
    record("m", "native", Outcome.TIMED_OUT, Stage.EXECUTE, **BROKEN),
]


def values_of(column: Column) -> Sequence[Any]:
    """Values of every kind that a rule may tell apart."""
    if issubclass(column.kind, Enum):
        return list(column.kind)
    texts = ("cpu", "cuda", "CUDAExecutionProvider", "excellent", "acceptable", "investigate", "Gpu", "busy, drift")
    kinds: dict[type, Sequence[Any]] = {
        int: (-1, 0, 1, 2, 4, 5, 2**62, 2**63 - 1),
        float: (-2.0, -0.0, 1e-12, 1e-5, 5e-5, 1e-3, 0.5, 1.0, 1.5, 1e300, math.inf, -math.inf, math.nan),
        bool: (True, False),
        str: texts,
    }
    return (*kinds[column.kind], *([None] if column.optional else []))


def altered() -> Iterator[Record]:
    """Right records with each value of each column, and with some of two or three columns at once."""
    for each in RIGHT:
        yield each
        for column in COLUMNS:
            yield from (replace(each, **{column.name: value}) for value in values_of(column))
    chance = random.Random(11)
    for _ in range(4000):
        columns = chance.sample(COLUMNS, k=chance.choice([2, 3]))
        yield replace(chance.choice(RIGHT), **{each.name: chance.choice(values_of(each)) for each in columns})


def test_a_record_that_is_surely_right_is_right() -> None:
    frame = typed(Record, format_rows(Record, altered()).encode())
    assert frame is not None
    sure = sure_records(frame).to_list()
    told = [contradictions(each) for each in rows_of(Record, frame)]
    assert [told[at] for at in range(len(sure)) if sure[at] and told[at]] == []
    right = [is_sure for is_sure, wrong in zip(sure, told, strict=True) if not wrong]
    assert sum(right) > 0.9 * len(right) > 1000
    assert all(
        sure_records(made).all() for made in [typed(Record, format_rows(Record, RIGHT).encode())] if made is not None
    )


def test_launches_that_are_surely_right_are_right() -> None:
    right = timed("m", "native", [0.002], [0.002])[1]
    assert sure_launches(frame_of(right))
    seen = set()
    for column in LAUNCH_COLUMNS:
        for value in dict.fromkeys(values_of(column)[: 3 if column.kind is str else None]):
            one = [replace(right[0], **{column.name: value}), right[1]]
            sure, wrong = sure_launches(frame_of(one)), any(launch_contradictions(each) for each in one)
            assert not (sure and wrong), one
            seen.add((sure, wrong))
    assert {(True, False), (False, True)} <= seen
    assert not sure_launches(frame_of(right[::-1]))
    assert not sure_launches(frame_of([right[0], right[0]]))


def frame_of(launches: Sequence[Launch]) -> Any:
    return typed(Launch, format_rows(Launch, launches).encode())


def near(bound: float) -> list[float]:
    return [bound + way * off for way in (-1, 1) for off in (0.0, 4e-4, 6e-4, 4e-5, 6e-5)]


def cells() -> Iterator[tuple[Record, list[Launch]]]:
    """Cells and their launches, right ones and such as have one thing or two altered."""
    chance = random.Random(5)
    ways: dict[str, list[Any]] = {
        "busy_cores": [None, 0.0, *near(BUSY_CORES)],
        "drift": [None, 0.0, *near(SPREAD), *near(-SPREAD)],
        "gpu_use": [None, "exclusive", "exclusive before and after", "shared: others", "unknown: why"],
        "steady": [None, True, False],
    }
    for number in range(1000):
        medians_ms = [chance.choice([1.0, 1.001, 1.0505, 1.1, 1.0999995, 1.2]) for _ in range(chance.randint(1, 5))]
        said = {name: chance.choice(values) for name, values in ways.items() if chance.random() < 0.3}
        made, launches = timed(f"m{number}", "native", *([ms / 1000] for ms in medians_ms), **said)
        yield made, launches
        other: dict[str, Any] = {
            "latency_ms": made.latency_ms and made.latency_ms + chance.choice([0.0, 1e-6, 2e-6]),
            "latency_iqr_ms": chance.choice([0.0, 1e-6, 2e-6, None]),
            "latency_spread": made.latency_spread and made.latency_spread + chance.choice([0.001, -0.001, 5e-4]),
            "latency_quality": chance.choice(["spread", "busy", "busy, drift", "drift, busy", "unsteady", None]),
            "launches": chance.choice([1, 2, 3]),
            "iterations": chance.choice([10, 20, 30]),
        }
        name = chance.choice(list(other))
        yield (
            replace(made, model=f"x{number}", **{name: other[name]}),
            [replace(each, model=f"x{number}") for each in launches],
        )


def test_cells_that_surely_are_of_their_launches_are() -> None:
    found = list(cells())
    frames = [
        typed(Record, format_rows(Record, [made for made, _ in found]).encode()),
        frame_of(list(itertools.chain.from_iterable(launches for _, launches in found))),
    ]
    assert frames[0] is not None
    sure = sure_cells(frames[0], frames[1])
    assert sure is not None
    records = rows_of(Record, frames[0])
    of_cell: dict[tuple[str, str, str], list[Launch]] = {}
    for launch in rows_of(Launch, frames[1]):
        of_cell.setdefault(launch.cell, []).append(launch)
    told = [cell_contradictions(each, of_cell[each.cell]) for each in records]
    assert [told[at] for at, is_sure in enumerate(sure) if is_sure and told[at]] == []
    right = [is_sure for is_sure, wrong in zip(sure, told, strict=True) if not wrong]
    assert sum(right) > 0.95 * len(right) > 500
    assert sum(map(bool, told)) > 500


@pytest.mark.parametrize("what", ["a cell without its launches", "a launch without its cell", "another extension"])
def test_launches_and_cells_belong_together(what: str) -> None:
    made, launches = timed("m", "native", [0.002], [0.002])
    right = typed(Record, format_rows(Record, [made]).encode())
    assert right is not None
    assert sure_cells(right, frame_of(launches)) is not None
    other: dict[str, list[Launch]] = {
        "a cell without its launches": [],
        "a launch without its cell": [*launches, replace(launches[0], model="other")],
        "another extension": [replace(each, extension="tools") for each in launches],
    }
    assert sure_cells(right, frame_of(other[what])) is None


def test_every_column_is_altered() -> None:
    assert all(len(values_of(column)) > 1 for kind in (Record, Launch) for column in columns_of(kind))
