"""What a node sends, put in its place: whole or not at all, and of each cell once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.attempt import Attempt
from harness.bench.errors import InfrastructureError
from harness.bench.plan import Cell, Plan
from harness.executors.orders import Part, Told
from harness.executors.receiving import Receiver
from tests.attempts.conftest import leave_waiting

CELLS = tuple(Cell("c", f"m{number}", "native", "cpu") for number in range(3))
PLAN = Plan(combination="c", device="cpu", tier="quick", cells=CELLS)
FIRST, SECOND, _ = CELLS


def unit(folder: Path) -> Attempt:
    attempt = Attempt(folder)
    attempt.clear_scratch()
    for each in (attempt.records, attempt.natives, attempt.builds):
        each.mkdir()
    return attempt


def record(cell: Cell, content: str) -> Part:
    return Part(path=f"records/{cell.slug}.json", content=content.encode())


def event(what: str, cell: Cell) -> Told:
    return Told(events=({"event": what, "at": 1.0, "model": cell.model, "strategy": cell.strategy},))


def told(attempt: Attempt) -> list[tuple[str, str]]:
    lines = attempt.events.read_text().splitlines() if attempt.events.exists() else []
    return [(each["event"], each["model"]) for each in map(json.loads, lines)]


def test_a_file_is_seen_with_the_event_that_it_belongs_to_and_not_before(tmp_path: Path) -> None:
    attempt, receiver = unit(tmp_path), Receiver(tmp_path, PLAN)
    receiver.part(record(FIRST, "{"))
    receiver.part(record(FIRST, "}"))
    assert not attempt.record_of(FIRST).exists()
    receiver.told(event("ended", FIRST))
    assert attempt.record_of(FIRST).read_text() == "{}"
    assert told(attempt) == [("ended", "m0")]
    assert receiver.left == CELLS[1:]


def test_what_waits_comes_as_a_whole_with_folders_that_are_empty(tmp_path: Path) -> None:
    attempt, receiver = unit(tmp_path), Receiver(tmp_path, PLAN)
    inside = f"waiting/{FIRST.slug}"
    for path, content in (
        (f"{inside}/convert/empty/", b""),
        (f"{inside}/a.onnx", b"x"),
        (f"{inside}/waiting.json", b"{}"),
    ):
        receiver.part(Part(path=path, content=content))
    receiver.told(event("waiting", FIRST))
    assert attempt.waiting_cells(PLAN) == [FIRST]
    assert (attempt.waiting / FIRST.slug / "convert" / "empty").is_dir()


def test_the_first_whole_result_of_a_cell_counts(tmp_path: Path) -> None:
    """A node that was given up for lost may be heard of again."""
    attempt, receiver = unit(tmp_path), Receiver(tmp_path, PLAN)
    for content in ("first", "second"):
        receiver.part(record(FIRST, content))
        receiver.told(event("ended", FIRST))
    assert attempt.record_of(FIRST).read_text() == "first"
    assert told(attempt) == [("ended", "m0")]


def test_of_what_a_node_was_lost_in_the_middle_of_nothing_is_left(tmp_path: Path) -> None:
    attempt, receiver = unit(tmp_path), Receiver(tmp_path, PLAN)
    receiver.told(event("started", FIRST))
    receiver.part(record(FIRST, "half of i"))
    receiver.begin()
    receiver.part(record(FIRST, "whole"))
    receiver.told(event("ended", FIRST))
    assert attempt.record_of(FIRST).read_text() == "whole"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "records/../../x", "attempt.json", "scratch/x", "records", "plan.json"]
)
def test_a_path_that_is_none_of_a_units_is_refused(tmp_path: Path, path: str) -> None:
    unit(tmp_path)
    with pytest.raises(InfrastructureError, match="a file that is none of a unit's"):
        Receiver(tmp_path, PLAN).part(Part(path=path, content=b""))


@given(cuts=st.lists(st.tuples(st.sampled_from(range(3)), st.booleans()), max_size=12))
def test_however_often_nodes_are_lost_no_cell_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, bool]]
) -> None:
    """Each cut is a node that was lost, after so many cells, with or without a file of the next one."""
    folder = tmp_path_factory.mktemp("unit")
    attempt, receiver = unit(folder), Receiver(folder, PLAN)
    for number, (ended, half) in enumerate([*cuts, (3, False)]):
        receiver.begin()
        for cell in receiver.left[:ended]:
            receiver.told(event("started", cell))
            receiver.part(record(cell, json.dumps({"node": number})))
            receiver.told(event("ended", cell))
        if half and receiver.left:
            receiver.part(record(receiver.left[0], '{"no'))
    assert receiver.left == ()
    assert attempt.recorded(PLAN) == list(CELLS)
    assert all(json.loads(attempt.record_of(cell).read_text()) for cell in CELLS)
    assert sorted(model for what, model in told(attempt) if what == "ended") == ["m0", "m1", "m2"]


def test_of_a_bench_that_times_a_cell_that_waits_goes_on_until_its_record_comes(tmp_path: Path) -> None:
    attempt, receiver = unit(tmp_path), Receiver(tmp_path, PLAN, times=True)
    leave_waiting(attempt, FIRST)
    receiver.told(event("waiting", FIRST))
    assert receiver.left == CELLS
    receiver.begin()  # another node: what waits here is what it gets
    assert attempt.waiting_cells(PLAN) == [FIRST]
    receiver.part(record(FIRST, "{}"))
    receiver.told(event("ended", FIRST))
    receiver.found_whole()
    assert receiver.left == CELLS[1:]
    assert attempt.record_of(FIRST).exists()
    assert not (attempt.waiting / FIRST.slug).exists()


def test_what_was_timed_counts_once_the_environment_was_found_whole_and_not_before(tmp_path: Path) -> None:
    """A node that is lost before has said nothing of what its records are of; they are told of as they come."""
    attempt, receiver = unit(tmp_path), Receiver(tmp_path, PLAN, times=True)
    leave_waiting(attempt, FIRST)

    def timed(content: str) -> None:
        receiver.begin()
        for cell in (FIRST, SECOND):
            receiver.told(event("timing", cell))
            receiver.part(record(cell, content))
            receiver.told(event("ended", cell))

    timed("of the lost node")
    assert told(attempt)[1] == ("ended", "m0")
    assert not attempt.recorded(PLAN)
    assert (receiver.left, attempt.waiting_cells(PLAN)) == (CELLS, [FIRST])
    timed("of the next")
    receiver.found_whole()
    assert [attempt.record_of(cell).read_text() for cell in (FIRST, SECOND)] == ["of the next"] * 2
    assert (receiver.left, attempt.waiting_cells(PLAN)) == (CELLS[2:], [])
    assert not (attempt.scratch / "received").exists()
