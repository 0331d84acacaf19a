"""Artifacts that are kept: what is in the store, what is served from it, and what goes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.attempts import store
from harness.attempts.execution import execute
from harness.attempts.recorded import read_recorded
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt
from harness.bench.hold import hold
from harness.bench.identity import PARTS
from harness.bench.kept import ARTIFACT_FILE, MIB, bound_artifacts
from harness.bench.plan import Keeping
from harness.bench.record import write_json
from harness.duel.preparing import Side, prepare
from harness.matrix.locks import Lock
from tests.attempts.conftest import MOMENTS, Observer, make_entry
from tests.duel.sides import task_of


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory, ambient: Path) -> Task:
    """Two cells of a linear layer, in an environment of a lock, of which nothing is timed."""
    folder = tmp_path_factory.mktemp("task")
    made = task_of(folder, ambient, "linear", {"same": "pass", "other": "pass"})
    plan = replace(made.plan, policy=replace(made.plan.policy, launches=0), keeping=Keeping(artifacts_mb=100))
    return replace(made, plan=plan, lock=Lock(path=folder / "lock.txt", text="torch==2.0.1\n"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, task: Task) -> Path:
    """A repository in which they were run."""
    root = tmp_path_factory.mktemp("ran")
    with contextlib.ExitStack() as holds:
        attempt = execute(root, task, Observer(), holds, run="this")
    assert not attempt.artifacts.exists()
    assert len(_entries(root)) == 2
    return root


def _side(root: Path, task: Task, observer: Observer) -> tuple[Side, list[bool]]:
    """A side of a duel, and which of its cells were converted for it."""
    with contextlib.ExitStack() as holds:
        side = prepare(root, [task], observer, holds, side="a")
    (attempt,) = side.attempts
    assert not attempt.given.exists()
    whole = [read_recorded(attempt.record_of(cell)).whole for cell in task.plan.cells]
    assert all(("given" in each["details"]) != ("convert" in each["details"]["seconds"]) for each in whole)
    return side, ["convert" in each["details"]["seconds"] for each in whole]


def _entries(root: Path) -> list[Path]:
    return sorted(path for path in store.folder_of(root).glob("[!.]*") if path.is_dir())


def test_a_duel_after_a_run_converts_nothing_and_goes_on_though_the_store_is_empty_by_then(
    ran: Path, tmp_path: Path, task: Task
) -> None:
    shutil.copytree(store.folder_of(ran), store.folder_of(tmp_path))
    observer, again = Observer(), Observer()
    side, converted = _side(tmp_path, task, observer)
    assert converted == [False, False]
    assert len(side.cells) == 2
    assert "2 of 2 cells were converted before, and need not be again" in observer.told
    store.bound(tmp_path, 0)
    other, _ = _side(tmp_path, task, again)
    assert (other.identity, other.converted) == (side.identity, side.converted)
    assert not [line for line in again.told if line.startswith("started")]


def test_what_is_not_what_was_kept_or_is_of_other_weights_is_converted_anew(
    ran: Path, tmp_path: Path, task: Task
) -> None:
    """Other weights are such as a model's that reads them from a file, of which its digest knows nothing."""
    shutil.copytree(store.folder_of(ran), store.folder_of(tmp_path))
    spoilt, other = _entries(tmp_path)
    next(path for path in spoilt.rglob("weight.npy")).write_bytes(b"spoilt")
    told = json.loads((other / ARTIFACT_FILE).read_text(encoding="utf-8"))
    write_json(other / ARTIFACT_FILE, {**told, "weights_digest": "other"})
    observer = Observer()
    side, converted = _side(tmp_path, task, observer)
    assert (len(side.cells), converted) == (2, [True, True])
    assert _entries(tmp_path) == [other]
    (line,) = [line for line in observer.told if "artifacts/" in line]
    assert line.startswith(f".harness/artifacts/{spoilt.name} was not, byte by byte, what had been kept, and was rem")


def test_what_was_made_of_other_data_is_converted_anew(tmp_path: Path, task: Task) -> None:
    """Such as a file of settings that the model reads: its weights are what they were."""
    shutil.copytree(Path(task.plan.models[0]).parent, tmp_path / "files")
    old, new = str(Path(task.plan.models[0]).parent), str(tmp_path / "files")
    plan = replace(task.plan, models=tuple(path.replace(old, new) for path in task.plan.models))
    model = Path(plan.models[0])
    text = model.read_text(encoding="utf-8")
    reading = "def build():\n    from pathlib import Path\n\n    Path(__file__).with_suffix('.' + 'json').read_text()\n"
    model.write_text(text.replace("def build():\n", reading), encoding="utf-8")
    model.with_suffix(".json").write_text("4", encoding="utf-8")
    task, root = replace(task, plan=plan), tmp_path / "root"
    with contextlib.ExitStack() as holds:
        execute(root, task, Observer(), holds, run="this")
    assert len(_entries(root)) == 2
    model.with_suffix(".json").write_text("8", encoding="utf-8")
    assert _side(root, task, Observer())[1] == [True, True]


def test_a_variable_that_frameworks_read_is_in_the_key(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> str:
        return store.key_of(task.plan, task.plan.registry(), task.plan.cells[0], dict.fromkeys(PARTS, "p"))

    before = key()
    monkeypatch.setenv("PYTORCH_JIT", "0")
    assert key() != before


def test_a_run_is_lent_nothing(ran: Path, task: Task, tmp_path: Path) -> None:
    attempt, registry = Attempt(tmp_path), task.plan.registry()
    parts = dict.fromkeys(PARTS, "p")
    with store.lent(ran, task.plan, registry, attempt, parts, note=print):
        assert not attempt.given.exists()


_KEY_PARTS = ("lock", "packages", "bench")


def test_what_has_a_say_in_a_conversion_is_in_its_key(task: Task, tmp_path: Path) -> None:
    shutil.copytree(Path(task.plan.models[0]).parent, tmp_path / "files")
    old, new = str(Path(task.plan.models[0]).parent), str(tmp_path / "files")
    plan = replace(
        task.plan,
        models=tuple(path.replace(old, new) for path in task.plan.models),
        plugins=tuple(path.replace(old, new) for path in task.plan.plugins),
    )
    parts = dict.fromkeys(PARTS, "p")
    cell = plan.cells[0]
    keys = [store.key_of(plan, plan.registry(), cell, parts)]
    assert keys == [store.key_of(task.plan, task.plan.registry(), cell, parts)], "where the files lie does not matter"
    keys += [store.key_of(plan, plan.registry(), cell, {**parts, part: "another"}) for part in _KEY_PARTS]
    keys += [store.key_of(plan, plan.registry(), plan.cells[1], parts)]
    more = replace(plan, policy=replace(plan.policy, threads=2))
    keys += [store.key_of(more, plan.registry(), cell, parts)]
    for file in (Path(plan.models[0]), *Path(plan.plugins[0]).glob("steps/*.py")):
        with file.open("a", encoding="utf-8") as opened:
            opened.write("\nNOTHING = 1\n")
        keys.append(store.key_of(plan, plan.registry(), cell, parts))
    assert len(set(keys)) == len(keys) == 8
    assert store.key_of(plan, plan.registry(), cell, {**parts, "lock": ""}) == "", "an ambient environment has no lock"


def test_a_store_that_cannot_be_written_to_costs_nothing_else(tmp_path: Path, task: Task) -> None:
    (tmp_path / ".harness").mkdir()
    (tmp_path / ".harness" / "artifacts").write_text("a file", encoding="utf-8")
    attempt, notes = Attempt(tmp_path / "attempt"), list[str]()
    (attempt.artifacts / task.plan.cells[0].slug).mkdir(parents=True)
    parts = dict.fromkeys(PARTS, "p")
    store.keep(tmp_path, task.plan, task.plan.registry(), attempt, parts, note=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("not all artifacts could be kept in .harness/artifacts (")
    assert not attempt.artifacts.exists()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(used=st.lists(st.integers(0, 4), max_size=6), limit=st.integers(0, 6))
def test_what_nobody_used_for_longest_goes_first(
    tmp_path_factory: pytest.TempPathFactory, used: list[int], limit: int
) -> None:
    root = tmp_path_factory.mktemp("root")
    order = [f"key{number}" for number in range(5)]
    for key in order:
        make_entry(root, key, MIB - 16384)
    for number, key in enumerate(f"key{each}" for each in used):
        assert store.take(root, key, root / f"taken{number}", note=print)
        moment = next(MOMENTS)
        os.utime(store.folder_of(root) / key / store.ENTRY_FILE, (moment, moment))
        order = [*(each for each in order if each != key), key]
    told = store.bound(root, limit)
    assert [entry.name for entry in _entries(root)] == sorted(order[max(0, 5 - limit) :])
    assert len(told) == (limit < 5)
    assert all("artifacts_mb of [keep]" in line for line in told)


def test_no_more_than_a_quarter_of_the_disk_is_kept(small_disk: Path) -> None:
    for number in range(4):
        make_entry(small_disk, f"key{number}", 4 * MIB)
    (told,) = store.bound(small_disk, 4096)
    assert [entry.name for entry in _entries(small_disk)] == ["key3"]
    assert "3 artifacts (12 MiB)" in told
    assert "no more than 6 MiB are kept there" in told
    for number in range(3):
        make_entry(small_disk, f"key{number}", 4 * MIB)
    assert len(bound_artifacts(store.folder_of(small_disk), 4096)) == 3


def test_whoever_took_an_artifact_has_it_though_it_goes(tmp_path: Path) -> None:
    entry = make_entry(tmp_path, "key")
    content = (entry / "convert" / "model.onnx").read_bytes()
    assert store.take(tmp_path, "key", tmp_path / "mine", note=print)
    assert (tmp_path / "mine" / "convert" / "model.onnx").samefile(entry / "convert" / "model.onnx")
    store.bound(tmp_path, 0)
    assert not entry.exists()
    assert (tmp_path / "mine" / "convert" / "model.onnx").read_bytes() == content


def test_half_an_entry_is_never_seen_and_goes_with_the_next_who_comes(tmp_path: Path) -> None:
    make_entry(tmp_path, "whole")
    half = make_entry(tmp_path, ".half.partial")
    (make_entry(tmp_path, "silent") / store.ENTRY_FILE).unlink()
    notes: list[str] = []
    assert not store.take(tmp_path, "silent", tmp_path / "mine", note=notes.append)
    assert not half.exists()
    assert [entry.name for entry in _entries(tmp_path)] == ["whole"]
    assert len(notes) == 1


def test_many_take_and_remove_at_the_same_time_and_all_that_is_taken_is_whole(tmp_path: Path) -> None:
    keys = [f"key{number}" for number in range(4)]
    notes: list[str] = []
    errors: list[BaseException] = []
    taken: list[bool] = []
    ended = threading.Event()

    def take(number: int) -> None:
        try:
            until = time.monotonic() + 1.5
            for turn in itertools.count():
                if time.monotonic() > until:
                    return
                target = tmp_path / f"{number}-{turn}"
                taken.append(store.take(tmp_path, keys[turn % len(keys)], target, note=notes.append))
        except BaseException as error:  # noqa: BLE001 - it is the other thread's to tell
            errors.append(error)

    def remove() -> None:
        while not ended.is_set():
            with hold(store.folder_of(tmp_path), "it", print):
                store.bound(tmp_path, 0)
                for key in keys[:3]:
                    make_entry(tmp_path, key, 4096)
            time.sleep(0.1)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(3)]
    removing = threading.Thread(target=remove)
    removing.start()
    while not _entries(tmp_path):
        time.sleep(0.01)
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    ended.set()
    removing.join()
    assert (errors, notes) == ([], [])
    assert any(taken)
