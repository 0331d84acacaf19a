"""The attempt's folder: what begins, pauses, ends and settles it, and what it keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench.attempt import Attempt, State
from harness.bench.identity import PARTS, short
from harness.bench.plan import Cell, Plan
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from tests.attempts.conftest import leave_waiting

PARTS_OF = {part: f"digest of {part}" for part in PARTS}
CELLS = tuple(Cell("torch2.0", "resnet18", strategy, "cpu") for strategy in ("native", "onnx-torchscript:16"))
PLAN = Plan(combination="torch2.0", device="cpu", tier="quick", cells=CELLS)
CONDITIONS = {"packages": {"torch": "2.0.1"}, "python": "3.11.7"}


def _record(cell: Cell) -> Record:
    return Record(
        combination=cell.combination,
        extension="",
        model=cell.model,
        strategy=cell.strategy,
        device=cell.device,
        tier="quick",
        outcome=Outcome.PASSED,
        stage=Stage.MEASURE,
    )


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    made = Attempt(tmp_path / "attempt")
    made.begin(PLAN, PARTS_OF, CONDITIONS, lock="six==1.16.0\n", run="one")
    return made


def test_there_is_no_attempt_in_a_folder_without_one(tmp_path: Path) -> None:
    assert Attempt(tmp_path).state is None
    assert Attempt(tmp_path / "nowhere").obstacles(PARTS_OF) == ["there is no attempt to go on with"]
    (tmp_path / "attempt.json").write_text('{"version": 0, "state": "ended"}', encoding="utf-8")
    assert Attempt(tmp_path).state is None


def test_what_begins_again_in_the_same_second_is_told_from_what_was_before(attempt: Attempt) -> None:
    """Tables are called by the second in which their attempt began."""
    begun = []
    for _ in range(2):
        begun.append((attempt.read() or {})["started"])
        attempt.begin(PLAN, PARTS_OF, CONDITIONS)
    assert begun[0] < begun[1] < (attempt.read() or {})["started"]


def test_what_begins_says_what_runs_where(attempt: Attempt) -> None:
    stated = attempt.read()
    assert stated is not None
    assert (attempt.state, stated["run"], stated["ended"]) == (State.RUNNING, "one", None)
    assert stated["planned"] == [["resnet18", "native"], ["resnet18", "onnx-torchscript:16"]]
    assert stated["packages"] == CONDITIONS["packages"]
    assert attempt.lock.read_text(encoding="utf-8") == "six==1.16.0\n"
    assert Plan.from_json(json.loads(attempt.plan.read_text(encoding="utf-8"))) == PLAN


def test_every_state_is_written_down_and_none_is_inferred(attempt: Attempt) -> None:
    attempt.pause("the disk is full.")
    stated = attempt.read()
    assert stated is not None
    assert (attempt.state, stated["cause"]) == (State.PAUSED, "the disk is full.")
    attempt.go_on(run="two")
    stated = attempt.read()
    assert stated is not None
    assert (attempt.state, stated["cause"], stated["run"]) == (State.RUNNING, "", "two")
    attempt.refuse("a probe is wrong")
    assert (attempt.read() or {})["state"] == "refused"
    for cell in CELLS:
        attempt.write(cell, _record(cell), {})
    attempt.end()
    ended = (attempt.read() or {})["ended"]
    assert attempt.state is State.ENDED
    assert ended
    attempt.settle("results/there")
    stated = attempt.read()
    assert stated is not None
    assert (attempt.state, stated["table"], stated["ended"]) == (State.SETTLED, "results/there", ended)


def test_going_on_keeps_records_and_beginning_removes_them(attempt: Attempt) -> None:
    attempt.started(CELLS[0])
    attempt.write(CELLS[0], _record(CELLS[0]), {})
    attempt.write_build("resnet18", {"outputs": {}}, {})
    attempt.pause("interrupted")
    attempt.go_on()
    assert attempt.recorded(PLAN) == [CELLS[0]]
    attempt.begin(PLAN, PARTS_OF, CONDITIONS)
    assert attempt.recorded(PLAN) == []
    assert not list(attempt.natives.iterdir())
    assert not attempt.lock.exists()
    assert not attempt.events.exists()


def test_what_differs_is_told_in_words(attempt: Attempt, tmp_path: Path) -> None:
    assert attempt.obstacles(PARTS_OF) == []
    assert attempt.obstacles({**PARTS_OF, "packages": "other", "models": "other"}) == [
        "the installed packages differs",
        "a model's file differs",
    ]
    helper = tmp_path / "helper.py"
    helper.write_text("VALUE = 1\n", encoding="utf-8")
    attempt.write_build("resnet18", {}, {str(helper): short(helper.read_bytes())})
    assert attempt.obstacles(PARTS_OF) == []
    helper.write_text("VALUE = 2\n", encoding="utf-8")
    assert attempt.obstacles(PARTS_OF) == ["helper.py, which resnet18 imports, differs"]
    helper.unlink()
    assert attempt.obstacles(PARTS_OF) == ["helper.py, which resnet18 imports, differs"]


def test_a_file_that_was_edited_between_two_builds_of_its_model_is_told(attempt: Attempt, tmp_path: Path) -> None:
    helper = tmp_path / "helper.py"
    for text in ("VALUE = 1\n", "VALUE = 2\n"):
        helper.write_text(text, encoding="utf-8")
        attempt.write_build("resnet18", {}, {str(helper): short(helper.read_bytes())})
    assert attempt.obstacles(PARTS_OF) == ["helper.py, which resnet18 imports, differs"]


def test_an_attempt_whose_cells_have_no_record_has_not_ended(attempt: Attempt) -> None:
    with pytest.raises(AssertionError, match="2 planned cells have no record"):
        attempt.end()
    assert attempt.state is State.RUNNING


def test_a_torn_line_of_events_spoils_no_other(attempt: Attempt) -> None:
    attempt.started(CELLS[0])
    with attempt.events.open("a", encoding="utf-8") as file:
        file.write('{"event": "star')
    follow = attempt.events_from()
    attempt.write(CELLS[0], _record(CELLS[0]), {})
    assert [event["event"] for event in follow()] == ["ended"]
    assert attempt.spans()["resnet18", "native"][0][1] < float("inf")


def test_a_folder_of_somebody_elses_is_told_from_an_attempt(tmp_path: Path, attempt: Attempt) -> None:
    assert not attempt.is_foreign()
    assert not Attempt(tmp_path / "new").is_foreign()
    (tmp_path / "theirs").mkdir()
    assert not Attempt(tmp_path / "theirs").is_foreign()
    (tmp_path / "theirs" / "records").mkdir()
    assert Attempt(tmp_path / "theirs").is_foreign()
    killed = Attempt(tmp_path / "killed-before-it-began")
    killed.clear_scratch()
    assert not killed.is_foreign()


def test_going_on_tries_again_what_failed_before_it_was_built(attempt: Attempt) -> None:
    failed = replace(_record(CELLS[0]), outcome=Outcome.FAILED, stage=Stage.BUILD)
    attempt.write(CELLS[0], failed, {})
    attempt.write(CELLS[1], replace(failed, stage=Stage.CONVERT), {})
    attempt.end()
    attempt.go_on()
    assert len(attempt.recorded(PLAN)) == 2, "it had ended, and only its table was lacking"
    attempt.go_on()
    assert attempt.recorded(PLAN) == [CELLS[1]]


def test_records_of_code_that_changed_in_between_are_gone_on_with_by_nobody(attempt: Attempt) -> None:
    attempt.void("files were edited")
    assert attempt.state is State.PAUSED
    assert len(attempt.obstacles(PARTS_OF)) == len(PARTS)


def test_a_display_follows_whole_lines_from_where_it_began(attempt: Attempt) -> None:
    attempt.started(CELLS[0])
    follow = attempt.events_from()
    attempt.write(CELLS[0], _record(CELLS[0]), {})
    with attempt.events.open("a", encoding="utf-8") as file:
        file.write('{"event": "sta')
        file.flush()
        assert [event["event"] for event in follow()] == ["ended"]
        file.write('rted", "at": 1.0, "model": "a", "strategy": "b"}\n')
    assert [event["event"] for event in follow()] == ["started"]


def test_when_cells_ran_is_known(attempt: Attempt) -> None:
    for cell in CELLS:
        attempt.started(cell)
    attempt.write(CELLS[0], _record(CELLS[0]), {})
    spans = attempt.spans()
    ((began, ended),) = spans["resnet18", "native"]
    assert began <= ended < float("inf")
    ((_, never),) = spans["resnet18", "onnx-torchscript:16"]
    assert never == float("inf")


def test_a_cell_that_waits_to_be_timed_is_not_at_work(attempt: Attempt) -> None:
    attempt.started(CELLS[0])
    attempt.waits(CELLS[0])
    attempt.started(CELLS[1])
    attempt.waits(CELLS[1])
    attempt.timing(CELLS[0])
    attempt.write(CELLS[0], _record(CELLS[0]), {})
    (run, timed), ((began, ended),) = (
        attempt.spans()["resnet18", "native"],
        attempt.spans()[CELLS[1].model, CELLS[1].strategy],
    )
    assert run[0] <= run[1] <= began <= ended <= timed[0] <= timed[1] < float("inf")


def _at(attempt: Attempt, monkeypatch: pytest.MonkeyPatch, told: Mapping[float, str]) -> None:
    for at, what in told.items():
        monkeypatch.setattr("harness.bench.attempt.time.time", lambda at=at: at)
        {"started": attempt.started, "waiting": attempt.waits, "timing": attempt.timing}[what](CELLS[0])


def test_a_cell_that_goes_on_waiting_has_worked_no_longer(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    _at(attempt, monkeypatch, {1.0: "started", 2.0: "waiting", 100.0: "waiting", 101.0: "timing"})
    assert attempt.spans()["resnet18", "native"] == [(1.0, 2.0), (101.0, float("inf"))]


def test_a_timing_that_was_killed_is_over_when_it_is_gone_on_with(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_waiting(attempt, CELLS[0])
    _at(attempt, monkeypatch, {1.0: "started", 2.0: "waiting", 3.0: "timing"})
    assert attempt.spans()["resnet18", "native"][1] == (3.0, float("inf")), "it may be under way"
    monkeypatch.setattr("harness.bench.attempt.time.time", lambda: 100.0)
    attempt.go_on()
    attempt.go_on()
    assert attempt.spans()["resnet18", "native"] == [(1.0, 2.0), (3.0, 3.0)]
    _at(attempt, monkeypatch, {101.0: "timing"})
    assert attempt.spans()["resnet18", "native"] == [(1.0, 2.0), (3.0, 3.0), (101.0, float("inf"))]


def test_a_timing_that_left_a_record_is_not_taken_for_one_that_left_nothing(attempt: Attempt) -> None:
    attempt.timing(CELLS[0])
    kept = attempt.events.read_bytes()
    attempt.write(CELLS[0], _record(CELLS[0]), {})
    attempt.events.write_bytes(kept)  # it was killed between its record and the telling of it
    attempt.go_on()
    ((_, ended),) = attempt.spans()["resnet18", "native"]
    assert ended == float("inf")


def test_half_of_what_a_conversion_leaves_has_not_been_worked_on(attempt: Attempt) -> None:
    (attempt.waiting / CELLS[0].slug).mkdir(parents=True)
    assert attempt.worked_on(PLAN) == []
    leave_waiting(attempt, CELLS[1])
    assert attempt.waiting_cells(PLAN) == attempt.worked_on(PLAN) == [CELLS[1]]


def test_records_are_taken_back_and_suspects_kept(attempt: Attempt) -> None:
    for cell in CELLS:
        attempt.write(cell, _record(cell), {})
    attempt.take_back([CELLS[0]], suspects=["b"])
    attempt.take_back([], suspects=["a", "b"])
    assert (attempt.read() or {})["suspects"] == ["a", "b"]
    assert attempt.recorded(PLAN) == [CELLS[1]]
    assert attempt.state is State.RUNNING


def test_records_of_another_plan_are_told(attempt: Attempt) -> None:
    part = replace(PLAN, cells=CELLS[:1], selected=True)
    assert attempt.of_another(part) == "", "there is none yet"
    attempt.write(CELLS[0], _record(CELLS[0]), {})
    assert attempt.of_another(replace(PLAN, cells=CELLS[::-1])) == ""
    for other in (
        part,
        replace(PLAN, combination="torch2.1"),
        replace(PLAN, tier="core"),
        replace(PLAN, series="models/"),
    ):
        assert attempt.of_another(other) == "1 recorded, of a whole run of torch2.0 (cpu, tier quick)"


def test_cells_that_wait_are_told_of_another_plan_as_records_are(attempt: Attempt) -> None:
    part = replace(PLAN, cells=CELLS[:1], selected=True)
    for cell in CELLS:
        leave_waiting(attempt, cell)
    assert attempt.of_another(PLAN) == ""
    told = "2 waiting to be timed, of a whole run of torch2.0 (cpu, tier quick)"
    assert attempt.of_another(part) == told
    attempt.write(CELLS[0], _record(CELLS[0]), {}, waits_on=True)
    told = "1 recorded, 1 waiting to be timed, of a whole run of torch2.0 (cpu, tier quick)"
    assert attempt.of_another(part) == told
