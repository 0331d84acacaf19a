"""A node's side of an order, without any cluster: real benches, with a stand-in for torch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import zipfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.attempts.recorded import read_recorded
from harness.bench.attempt import Attempt, State
from harness.bench.builds import read_built
from harness.bench.kept import content_digest, read_artifact
from harness.bench.plan import Keeping, Plan
from harness.bench.requests import BUILT_FILE
from harness.bench.waiting import WAITING_FILE, read_waiting
from harness.executors.delivering import deliver
from harness.executors.describing import surroundings_in
from harness.executors.local import Local
from harness.executors.orders import CONVERTED_ON, Ended, Message, Order, Part, Told, parts_of
from harness.executors.parcel import Parcel, pack, parcel_of
from harness.executors.receiving import Receiver
from harness.executors.units import Unit
from harness.matrix.environment import clean_environ
from harness.matrix.surroundings import surroundings_of
from harness.matrix.wholeness import Change
from harness.tables.ingredients import name_of
from tests.attempts.conftest import running
from tests.executors.orders import PLACES, begun, make_python, node_cache_in, own_plan, rows, work_in


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_python(tmp_path_factory.mktemp("ambient"))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with node_cache_in(tmp_path_factory.mktemp("node-cache")) as folder:
        yield folder


def ordered(unit: Unit, folder: Path, python: Path) -> Order:
    work, plan = work_in(folder, python), unit.plan
    return Order.of(unit, plan.cells, work, parcel_of([plan]), environ=clean_environ(pinned=False))


def delivered(order: Order, folder: Path, given: Sequence[Part] = ()) -> Generator[Message, None, None]:
    """What comes of an order where its parcel was unpacked as a cluster does."""
    base, archive = folder / "unpacked", folder / "harness.zip"
    pack(Parcel(order.folders), archive)
    with zipfile.ZipFile(archive) as file:
        file.extractall(base)
    return deliver(order, given, base=base)


def received(unit: Unit, messages: Iterator[Message]) -> tuple[Receiver, list[Message]]:
    receiver, kept = Receiver(unit.folder, unit.plan), []
    for message in messages:
        kept.append(message)
        if isinstance(message, Part):
            receiver.part(message)
        elif isinstance(message, Told):
            receiver.told(message)
    return receiver, kept


@dataclass(frozen=True)
class Ran:
    """One plan, run by this machine's own executor, and by a node."""

    plan: Plan
    here: Attempt
    there: Attempt
    described: float = 0.0
    """When the node had looked at what it is made of, in seconds since the epoch."""


OF_A_SCHEDULER = {"PYTHONPATH": "/ray", "OMP_NUM_THREADS": "1", "RAY_JOB_ID": "1", "SLURM_JOBID": "2"}
"""What a process on a node has, from which the bench is started."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, python: Path, cache: Path) -> Ran:
    folder = tmp_path_factory.mktemp("ran")
    (cache / "contents.json").unlink(missing_ok=True)
    plan = own_plan(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        here, there = (begun(folder / name, python, plan) for name in ("here", "there"))
        Local(1).run([here], work_in(folder, python), lambda: True)
        order = ordered(there, folder, python)
        for name, value in OF_A_SCHEDULER.items():
            patch.setenv(name, value)
        receiver, messages = received(there, delivered(order, folder))
    assert messages[-1] == Ended(state=State.RUNNING.value)
    assert not receiver.left
    described = (cache / "contents.json").stat().st_mtime
    return Ran(plan, Attempt(here.folder), Attempt(there.folder), described)


def test_a_node_is_described_as_its_cells_find_it(ran: Ran) -> None:
    assert ran.described < min(began for spans in ran.there.spans().values() for began, _ in spans)


def test_a_node_leaves_what_the_bench_would_have_left_here(ran: Ran, cache: Path) -> None:
    here, there = ran.here, ran.there
    assert rows(there, ran.plan.cells) == rows(here, ran.plan.cells)
    assert len(rows(there, ran.plan.cells)) == len(there.waiting_cells(ran.plan)) == 1
    for part in ("natives", "builds", "records", "kept", "waiting"):
        assert _below(there.folder / part) == _below(here.folder / part), part
    for part in ("natives", "builds"):
        (one,), (other,) = (attempt.folder.glob(f"{part}/*.json") for attempt in (here, there))
        assert json.loads(one.read_text()) == json.loads(other.read_text())
    told = [[each["event"] for each in map(json.loads, a.events.read_text().splitlines())] for a in (here, there)]
    assert told[0] == told[1]
    assert not [path for path in (cache / "units").iterdir() if path.is_dir()], "nothing of an order stays on the node"


def test_what_a_node_sends_says_what_the_node_is_made_of(ran: Ran, tmp_path: Path, python: Path) -> None:
    """Which is here what this machine is made of, though a scheduler's process was what started it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        kept = tmp_path / "contents.json"
        here = surroundings_of(python, device="cpu", inside={}, pinned=False, kept=kept, root=tmp_path)
        unit = begun(tmp_path, python, ran.plan)
        answer = surroundings_in(delivered(replace(ordered(unit, tmp_path, python), asks=True), tmp_path))
    assert answer == here
    (path,) = ran.there.surroundings.iterdir()
    assert json.loads(path.read_text(encoding="utf-8")) == here
    assert path.stem == name_of(here)
    (cell,) = ran.there.waiting_cells(ran.plan)
    waiting = read_waiting(ran.there.waiting / cell.slug)
    assert waiting is not None
    assert waiting.details[CONVERTED_ON] == path.stem
    ended = [read_recorded(each).ran_on for each in ran.there.records.iterdir()]
    assert ended == [(path.stem,)] * (len(ran.plan.cells) - 1)


def test_what_a_node_sends_names_the_places_of_this_machine(ran: Ran, cache: Path) -> None:
    (cell,) = ran.there.waiting_cells(ran.plan)
    waiting = read_waiting(ran.there.waiting / cell.slug)
    assert waiting is not None
    assert Path(waiting.artifact["path"]).is_relative_to(ran.there.folder)
    assert Path(waiting.artifact["path"]).is_file()
    (builds,) = ran.there.builds.iterdir()
    assert json.loads(builds.read_text()).keys() >= set(ran.plan.models)
    texts = [
        path.read_text() for part in ("records", "natives", "builds") for path in (ran.there.folder / part).iterdir()
    ]
    assert not [text for text in texts if str(cache) in text or "unpacked" in text]


def test_what_waits_is_timed_by_a_bench_that_is_alone(ran: Ran, tmp_path: Path, python: Path) -> None:
    """With the files that wait here, which stay until the record has come; the bench runs nothing else."""
    plan = replace(ran.plan, times=True, keeping=Keeping(artifacts_mb=10))
    attempt = Attempt(shutil.copytree(ran.here.folder, tmp_path / "attempt"))
    (cell,) = attempt.waiting_cells(plan)
    (attempt.record_of(next(each for each in plan.cells if each != cell))).unlink()
    unit = Unit(name="alone", plan=replace(plan, cells=(cell,)), folder=attempt.folder, seconds=0.0)
    work, parcel = work_in(tmp_path, python), parcel_of([plan])
    order = Order.of(unit, (cell,), work, parcel, environ=clean_environ(pinned=False), alone=True, only_waiting=True)
    given = list(parts_of(attempt.folder, f"waiting/{cell.slug}"))
    assert {part.path.rpartition("/")[2] for part in given} >= {"weight.npy", "waiting.json"}
    receiver = Receiver(attempt.folder, unit.plan, times=True)
    ended = None
    for message in delivered(order, tmp_path, given):
        if isinstance(message, Part):
            receiver.part(message)
        elif isinstance(message, Told):
            receiver.told(message)
        else:
            ended = message
    assert isinstance(ended, Ended)
    assert (ended.trouble, ended.returncode, ended.whole) == ("", 0, True)
    receiver.found_whole()
    assert "1 passed" in ended.log
    assert [path.stem for path in attempt.records.iterdir()] == [cell.slug]
    row = json.loads(attempt.record_of(cell).read_text(encoding="utf-8"))["row"]
    assert row["outcome"] == "passed"
    assert row["latency_ms"] > 0
    assert read_recorded(attempt.record_of(cell)).ran_on == tuple(path.stem for path in attempt.surroundings.iterdir())
    assert not attempt.waiting_cells(plan)
    kept = read_artifact(attempt.artifacts / cell.slug)
    assert kept.packages == (attempt.read() or {})["packages"], "it says of what environment it is"
    assert content_digest(attempt.artifacts / cell.slug / kept.unit) == kept.digest


@pytest.fixture(scope="module")
def duelled(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Ran:
    """The same of cells that are made ready for a duel."""
    folder = tmp_path_factory.mktemp("duelled")
    plan = replace(own_plan(folder), duel_side="a")
    here, there = (begun(folder / name, python, plan) for name in ("here", "there"))
    Local(1).run([here], work_in(folder, python), lambda: True)
    receiver, _ = received(there, delivered(ordered(there, folder, python), folder))
    assert not receiver.left
    return Ran(plan, Attempt(here.folder), Attempt(there.folder))


def test_what_is_ready_for_a_duel_comes_back_with_its_inputs_and_native_outputs(duelled: Ran, cache: Path) -> None:
    here, there = duelled.here, duelled.there
    assert rows(there, duelled.plan.cells) == rows(here, duelled.plan.cells)
    assert _below(there.waiting) == _below(here.waiting) != []
    (cell,) = [each for each in duelled.plan.cells if read_waiting(there.waiting / each.slug)]
    built = read_built(there.built, cell.model)
    assert built.facts["digests"] == read_built(here.built, cell.model).facts["digests"]
    assert built.edited() == []
    texts = [(there.waiting / cell.slug / WAITING_FILE).read_text(), (built.folder / BUILT_FILE).read_text()]
    assert not [text for text in texts if str(cache) in text or "unpacked" in text]


def _below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_bench_on_a_node_sees_the_variables_that_one_here_sees(ran: Ran) -> None:
    assert _seen(ran.there) == _seen(ran.here)
    assert _seen(ran.there)["TF_ENABLE_ONEDNN_OPTS"] == "0"


def _seen(attempt: Attempt) -> dict[str, str]:
    """The variables that a conversion saw, but for those that name the attempt's own places."""
    (path,) = attempt.folder.glob("waiting/*/**/seen.json")
    seen: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return {name: value for name, value in seen.items() if name not in PLACES}


def test_a_node_with_other_packages_runs_nothing_and_says_why(tmp_path: Path, python: Path) -> None:
    unit = begun(tmp_path, python, own_plan(tmp_path, models=["one"], saved="pass"))
    order = ordered(unit, tmp_path, python)
    order.attempt["packages"]["numpy"] = "1.0"
    receiver, (ended,) = received(unit, delivered(order, tmp_path))
    assert isinstance(ended, Ended)
    assert ended.trouble == "ambient has other packages there than here: numpy."
    assert receiver.left == unit.plan.cells


def test_of_what_ran_in_an_environment_that_changed_nothing_is_told(tmp_path: Path) -> None:
    python = make_python(tmp_path / "venv")
    (theirs,) = (tmp_path / "venv").glob("lib/python*/site-packages/theirs.py")
    unit = begun(tmp_path, python, own_plan(tmp_path, editing=f"open('{theirs}', 'a').write('# edited')"))
    receiver, messages = received(unit, delivered(ordered(unit, tmp_path, python), tmp_path))
    assert isinstance(messages[-1], Ended)
    assert "ambient changed there while cells ran: edited" in messages[-1].trouble
    (change,) = [Change(**each) for each in messages[-1].changes]
    assert change.path.endswith("theirs.py")
    assert change.changed == pytest.approx(theirs.stat().st_mtime)
    assert receiver.left == unit.plan.cells
    assert not list(unit.folder.glob("waiting/*"))


def test_who_closes_early_leaves_nothing_at_work_and_the_next_removes_what_was_killed(
    tmp_path: Path, python: Path, cache: Path
) -> None:
    left = cache / "units" / "dead" / "attempt"
    left.mkdir(parents=True)
    unit = begun(tmp_path, python, own_plan(tmp_path, slow="import time; time.sleep(60)"))
    messages = delivered(ordered(unit, tmp_path, python), tmp_path)
    told = next(messages)
    assert isinstance(told, Told)
    assert [event["event"] for event in told.events] == ["started"]
    assert not left.exists()
    assert running(str(cache), under=os.getpid())
    messages.close()
    assert not running(str(cache), under=os.getpid())
    assert not [path for path in (cache / "units").iterdir() if path.is_dir()]


def test_a_process_that_is_killed_on_the_node_says_that_it_was(tmp_path: Path, python: Path, cache: Path) -> None:
    unit = begun(tmp_path, python, own_plan(tmp_path, slow="import time; time.sleep(60)"))
    messages = delivered(ordered(unit, tmp_path, python), tmp_path)
    assert isinstance(next(messages), Told)
    (pid,) = running("harness.executors.node", under=os.getpid())
    os.kill(pid, signal.SIGKILL)
    (ended,) = messages
    assert isinstance(ended, Ended)
    assert ended.killed
    assert "exit code -9" in ended.trouble
    assert not running(str(cache), under=os.getpid())
