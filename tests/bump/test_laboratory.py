"""The laboratory: what it keeps, what it refuses, and what it removes. Trials that install something are real tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.attempts.store import key_of
from harness.attempts.tasks import Task
from harness.bench.identity import identity
from harness.bench.kept import read_artifact
from harness.bench.plan import slug_of
from harness.bench.record import Record, write_json
from harness.bench.stages import Outcome, Stage
from harness.bump.candidate import foundation
from harness.bump.laboratory import Trials
from harness.bump.moves import Mix, Side
from harness.bump.trials import BudgetSpentError
from harness.matrix.combination import given_folder, read
from harness.matrix.environment import INSTALLED, folder_of, inspect
from harness.matrix.locks import read_lock
from harness.matrix.selection import Selection
from tests.attempts.conftest import make_ambient, make_entry
from tests.matrix.wheels import wheel

CELL = ("lstm", "onnx-torchscript")
MOVED = Mix(pins={"torch": "1.1", "vision": "0.1.1"})


@pytest.fixture
def told() -> list[str]:
    """What the laboratory says."""
    return []


@pytest.fixture
def trials(repository: Path, told: list[str]) -> Iterator[Trials]:
    """A laboratory between the combination `now` and torch 1.1, in which there is no time to run anything."""
    base = foundation(repository, "now")
    locked = {**base.side.locked, "torch": "1.1", "vision": "0.1.1"}
    candidate = Side(name="next", python="3.11", direct=base.side.direct, locked=locked)
    selection = Selection(tier="quick", device="cpu", models=[CELL[0]], strategies=[CELL[1]])
    (plan,) = selection.plans("now", repository)
    made = Trials(repository, base, candidate, plan=plan, budget_s=0.0, tell=told.append, busy=lambda _: None)
    with made.open():
        yield made


def _record(root: Path, trials: Trials, mix: Mix, outcome: Outcome, stage: Stage) -> Path:
    """Keep a record as if the cell had been run in a trial of `mix`."""
    closed = trials._resolved(mix)
    folder = root / ".harness" / "trials" / trials._key(closed)
    record = Record(
        combination="trial", extension="", model=CELL[0], strategy=CELL[1], device="cpu", tier="quick",
        outcome=outcome, stage=stage, error="it broke" if outcome.broken else None,
    )  # fmt: skip
    path = folder / f"lstm--onnx-torchscript--{trials._digest(CELL)}.json"
    folder.mkdir(parents=True)
    write_json(path, {"row": record.to_json(), "details": {}})
    return path


def test_moves_are_those_of_its_two_sides(trials: Trials) -> None:
    assert [str(move) for move in trials.moves] == ["torch 1.0 to 1.1", "vision 0.1.0 to 0.1.1"]


def test_resolutions_are_kept_from_one_run_to_the_next_unless_they_may_change(trials: Trials, repository: Path) -> None:
    assert trials.resolve(MOVED).pins["torch"] == "1.1"
    assert "depends on torch==1.0" in trials.resolve(Mix(pins={"torch": "1.1"})).reason
    assert trials.resolve(Mix(pins={"torch": "1.1", "vision": ""})).pins["vision"] == "0.1.1"
    assert trials.resolve(Mix(pins={"torch": "7"})).reason.startswith("resolving now.in: torch==7 is asked for")
    (kept,) = (repository / ".harness" / "trials" / "resolutions").glob("*.json")
    assert json.loads(kept.read_text(encoding="utf-8"))["mix"] == str(MOVED)


def test_a_mix_without_a_solution_is_a_trial_without_records(trials: Trials, told: list[str]) -> None:
    trial = trials.run(Mix(pins={"torch": "1.1"}), [CELL])
    assert not trial.records
    assert "depends on torch==1.0" in trial.reason
    assert told == []


def test_what_was_run_is_not_run_again(trials: Trials, repository: Path, told: list[str]) -> None:
    path = _record(repository, trials, MOVED, Outcome.FAILED, Stage.LOAD)
    trial = trials.run(MOVED, [CELL])
    assert trial.records[CELL].stage is Stage.LOAD
    assert trial.files == {CELL: str(path.relative_to(repository))}
    assert trial.kept
    assert not trial.installed
    assert trials.run(MOVED, [CELL]) == trial
    assert told == ["trial 1: the candidate -> lstm/onnx-torchscript failed at load (kept from before)"], (
        "a line a trial, and not one each time that it is asked for"
    )


def test_nothing_is_run_when_the_time_is_over(trials: Trials, repository: Path) -> None:
    with pytest.raises(BudgetSpentError, match=r"the 0 minutes for trials are over; .*torch 1\.1.* was not tried"):
        trials.run(MOVED, [CELL])
    assert not list(given_folder(repository, "").glob("trial-*"))


def test_another_policy_means_another_trial(trials: Trials, repository: Path) -> None:
    _record(repository, trials, MOVED, Outcome.PASSED, Stage.MEASURE)
    trials._plan = replace(trials._plan, policy=replace(trials._plan.policy, timeout_s=1.0))
    with pytest.raises(BudgetSpentError):
        trials.run(MOVED, [CELL])


def test_what_a_dead_run_left_is_removed(trials: Trials, repository: Path) -> None:
    left = given_folder(repository, "trial-0123456789ab")
    (left / "env" / "bin").mkdir(parents=True)
    attempt = repository / ".harness" / "attempts" / left.name
    attempt.mkdir(parents=True)
    trials._sweep()
    assert not left.exists()
    assert not attempt.exists()


def test_versions_are_asked_for_once_a_day(trials: Trials, repository: Path) -> None:
    assert trials.versions("torch") == ("1.0", "1.1", "1.2", "2.0")
    wheel(repository / "wheels", "torch", "3.0", "helper")
    assert trials.versions("torch") == ("1.0", "1.1", "1.2", "2.0")
    (kept,) = (repository / ".harness" / "trials" / "versions").glob("torch-*.json")
    kept.write_text(json.dumps(json.loads(kept.read_text(encoding="utf-8")) | {"at": 0.0}), encoding="utf-8")
    assert trials.versions("torch")[-1] == "3.0"


def test_versions_begin_with_the_older_side(trials: Trials) -> None:
    trials.base, trials.candidate = trials.candidate, trials.base
    assert trials.versions("torch")[0] == "1.0"
    assert trials.versions("helper") == ("1.0", "1.1")


def test_a_crossing_needs_an_artifact(trials: Trials, repository: Path) -> None:
    _record(repository, trials, MOVED, Outcome.FAILED, Stage.CONVERT)
    folder = repository / ".harness" / "trials" / trials._key(trials._resolved(MOVED)) / "kept"
    (folder / "lstm--onnx-torchscript").mkdir(parents=True)
    trial = trials.cross(converted=MOVED, served=Mix(), cell=CELL)
    assert not trial.records
    assert trial.reason == "torch 1.1, vision 0.1.1 left no artifact to serve: failed at convert"


def test_a_crossing_serves_what_a_run_of_the_base_converted(trials: Trials, repository: Path) -> None:
    lock, folder = read_lock(repository, read(repository, "now")), folder_of(repository, "now")
    python = make_ambient(folder)
    marker = {"lock": lock.digest, "folder": str(folder), "packages": [], "files": {}}
    (folder / INSTALLED).write_text(json.dumps(marker), encoding="utf-8")
    (plan,) = Selection(tier="quick", device="cpu", models=[CELL[0]], strategies=[CELL[1]]).plans("now", repository)
    trials._ready = (Task(plan=plan, combination=read(repository, "now"), lock=lock),)
    seen = inspect(python, pinned=True, lock=lock.path)
    inside = {"packages": dict(seen.packages), "python": seen.python}
    parts = identity(plan, plan.registry(), inside=inside, lock=lock.text)
    entry = make_entry(repository, key_of(plan, plan.registry(), plan.cells[0], parts))
    with pytest.raises(BudgetSpentError, match=r"torch 1\.1.* was not tried"):  # serving it is a trial of its own
        trials.cross(converted=Mix(), served=MOVED, cell=CELL)
    kept = repository / ".harness" / "trials" / trials._key(trials._resolved(Mix())) / "kept" / slug_of(*CELL)
    assert read_artifact(kept) == read_artifact(entry)
