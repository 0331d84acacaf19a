"""Cells that nothing changed for are carried over; each part of what has a say in a cell, changed alone, has it run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.attempts import details, identities
from harness.attempts.carrying import NIGHTS, OF_THE_MACHINE, Carrier, is_due, tables_of
from harness.attempts.ingredients import inventory_of, variables
from harness.attempts.settling import table_of
from harness.attempts.tasks import Task
from harness.bench import identity as bench_identity
from harness.bench.attempt import Attempt
from harness.bench.environment import description
from harness.bench.places import PACKAGE
from harness.bench.plan import Cell, Plan, Policy, expand
from harness.bench.reads import content_of
from harness.bench.record import Record
from harness.bench.registry import discover
from harness.bench.stages import Outcome, Stage
from harness.matrix.environment import Prepared
from harness.tables.reading import read_table
from harness.tables.schema import Run, Table
from harness.tables.writing import write_table
from tests.attempts.conftest import MODEL, add_package, add_route
from tests.tables.samples import rows_of, timing

HELPED = MODEL.replace("WIDTH", "8").replace("def build():", "import own_net\n\nDATA = 'named.bin'\n\n\ndef build():")


@dataclass
class World:
    """A repository with one model of a user's own, a strategy of theirs, and an environment that was installed."""

    folder: Path
    plan: Plan
    prepared: Prepared
    inside: dict[str, Any] = field(default_factory=description)

    @property
    def root(self) -> Path:
        return self.folder / "checkout"

    @property
    def site(self) -> Path:
        (found,) = (self.folder / "env").glob("lib/python*/site-packages")
        return found

    def attempt(self, name: str) -> Attempt:
        return Attempt(self.root / ".harness" / "attempts" / "small" / name)

    def begun(self, name: str, night: date | None = None, **conditions: Any) -> tuple[Attempt, list[str]]:
        """A new attempt, with what was carried over into it, and what was told of that."""
        attempt = self.attempt(name)
        attempt.folder.mkdir(parents=True, exist_ok=True)
        attempt.scratch.mkdir(exist_ok=True)
        inside = {**self.inside, "jobs": 1, **conditions}
        parts = bench_identity.identity(self.plan, self.plan.registry(), inside=inside, lock="")
        attempt.begin(self.plan, parts, inside)
        tables = tables_of([self.root / "results"], "small") if night else ()
        carrier = Carrier(root=self.root, tables=tables, night=night)
        return attempt, carrier.take_up(attempt, Task(plan=self.plan), self.prepared, inside, fresh=False)

    def seen(self, started: str, records: Mapping[str, Record], **conditions: Any) -> Table:
        """The table of a run in which each cell, by its strategy, came to one of `records`."""
        attempt, _ = self.begun("seen", **conditions)
        for cell in self.plan.cells:
            kept = [timing([0.001, 0.002])] if records[cell.strategy].latency_ms is not None else []
            attempt.write(cell, records[cell.strategy], {"reads": self.reads(), "launches": kept, "error": "all of it"})
        return self.settled(attempt, started)

    def settled(self, attempt: Attempt, started: str) -> Table:
        attempt.end()
        stated = {**(attempt.read() or {}), "started": started}
        attempt.file.write_text(json.dumps(stated), encoding="utf-8")
        table = table_of([attempt], pins={})
        folder = write_table(self.root / "results", table)
        details.give(self.root, [attempt], table.run, limit_mb=100)
        return read_table(folder)

    def reads(self) -> dict[str, str]:
        """What each cell is said to have read: the model's file, data by a name that is made, and a folder."""
        paths = (self.folder / "good.py", self.folder / "data" / "trained.npz", self.folder / "listed")
        return {str(path): content_of(path) for path in paths}


STARTED = "2026-01-31T12:00:00Z"


def quiet_night(plan: Plan) -> date:
    """A night on which no cell is run again."""
    nights = (date(2026, 2, 1) + timedelta(days=days) for days in range(NIGHTS))
    return next(night for night in nights if not any(is_due(cell, night, seen=STARTED) for cell in plan.cells))


def record(plan: Plan, strategy: str, outcome: Outcome = Outcome.PASSED, **values: Any) -> Record:
    made = Record(
        combination="small",
        extension="",
        model="good",
        strategy=strategy,
        device=plan.device,
        tier="quick",
        outcome=outcome,
        stage=Stage.MEASURE if outcome is Outcome.PASSED else Stage.CONVERT,
        duration_s=1.5,
        convert_s=0.5,
        model_digest="m" * 16,
        strategy_digest="s" * 16,
    )
    if outcome is Outcome.PASSED:
        made = replace(made, relative_error=1e-7, tolerance=1e-4, probes_total=0, latency_ms=1.5, launches=1)
        (launch,) = rows_of(made, [timing([0.001, 0.002])])
        made = replace(made, iterations=launch.rounds * launch.calls, latency_iqr_ms=launch.q3_ms - launch.q1_ms)
    elif outcome.broken:
        made = replace(made, error_type="Fail", error="it fails", fingerprint="f" * 8)
    return replace(made, **values)


def both(plan: Plan, **of_recite: Any) -> dict[str, Record]:
    recite = record(plan, "recite", **{"outcome": Outcome.FAILED, **of_recite})
    return {"native": record(plan, "native"), "recite": recite}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Such a repository with a table of one run. Tests leave it as it is."""
    return make_world(tmp_path_factory.mktemp("base"))


@pytest.fixture
def world(base: World, tmp_path: Path) -> Iterator[World]:
    """The same for a test that makes further tables, which go with it."""
    kept = (base.root / "results", base.root / ".harness")
    for folder in kept:
        shutil.copytree(folder, tmp_path / folder.name)
    yield replace_world(base)
    for folder in kept:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / folder.name, folder)


def make_world(folder: Path) -> World:
    (folder / "checkout" / "matrices").mkdir(parents=True)
    for name, text in (("good.py", HELPED), ("own_net.py", "import own_parts\n"), ("own_parts.py", "PARTS = 1\n")):
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("named.bin", "data/trained.npz", "listed/one"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"1")
    add_route(folder / "plugins", "recite")
    step = folder / "plugins" / "steps" / "recite.py"
    step.write_text(f"from harness.steps import _spoken\n{step.read_text()}", encoding="utf-8")
    (step.parent / "_spoken.py").write_text("from harness.steps import _words\n", encoding="utf-8")
    (step.parent / "_words.py").write_text("WORDS = 1\n", encoding="utf-8")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    add_package(python)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "theirs-1.0.dist-info" / "RECORD").write_text("theirs.py,sha256=one,10\n", encoding="utf-8")
    install(site, "edited", {"url": (folder / "edited").as_uri(), "dir_info": {"editable": True}})
    (folder / "edited").mkdir()
    for name in ("edited.py", "compiled.so"):
        (folder / "edited" / name).write_bytes(b"")
    install(site, "fetched", {"url": "https://example.org/fetched.zip", "archive_info": {}})
    (site / "fetched.py").write_text("FETCHED = 1\n", encoding="utf-8")
    files, plugins = [folder / "good.py"], [folder / "plugins"]
    registry = discover(models=files, plugins=plugins)
    cells = expand(registry, combination="small", device="cpu", tier="quick", strategies=["recite", "native"])
    plan = Plan(
        combination="small",
        device="cpu",
        tier="quick",
        cells=cells,
        models=tuple(map(str, files)),
        plugins=tuple(map(str, plugins)),
        policy=Policy(measure_s=0.01),
        selected=True,
    )
    prepared = Prepared(
        name="small", python=python, python_version="", packages={}, folder=folder, snapshot={}, owners={}
    )
    world = World(folder, plan, prepared)
    world.seen(STARTED, both(plan))
    return world


def install(site: Path, name: str, address: Mapping[str, Any]) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "RECORD").write_text(f"{name}.py,sha256=one,10\n", encoding="utf-8")
    (info / "direct_url.json").write_text(json.dumps(address), encoding="utf-8")


@contextlib.contextmanager
def other(path: Path, content: bytes = b"# other\n") -> Iterator[None]:
    """A file with another content for a while; it may not have been there."""
    before = (path.read_bytes(), path.stat()) if path.exists() else None
    path.write_bytes((before[0] if before else b"") + content)
    yield
    if before is None:
        path.unlink()
        return
    path.write_bytes(before[0])
    os.utime(path, ns=(before[1].st_atime_ns, before[1].st_mtime_ns))


def shim(world: World, body: str) -> World:
    """The world with an interpreter that is another one: it runs `body` first."""
    path = world.folder / "other-python"
    path.write_text(
        f"#!{world.prepared.python}\nimport sys\n{body}\n"
        "code, sys.argv = sys.argv[2], ['-c', *sys.argv[3:]]\nexec(code)\n",
        encoding="utf-8",
    )
    path.chmod(0o755)
    return replace_world(world, prepared=replace(world.prepared, python=path))


def replace_world(world: World, **values: Any) -> World:
    return World(**{**vars(world), **values})


def other_library(world: World) -> World:
    """The same where another libgcc_s is found first."""
    import ctypes

    ctypes.CDLL("libgcc_s.so.1")
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    (found, *_) = [line.split()[-1] for line in lines if "libgcc_s.so.1" in line]
    there = world.folder / "libraries"
    there.mkdir(exist_ok=True)
    (there / "libgcc_s.so.1").write_bytes(Path(found).read_bytes() + b"other")
    path = world.folder / "other-python"
    path.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={there} exec {world.prepared.python} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return replace_world(world, prepared=replace(world.prepared, python=path))


CPU = """
import pathlib
read = pathlib.Path.read_text
def read_text(path, *given, **more):
    return "flags : sse2 amx\\n" if str(path) == "/proc/cpuinfo" else read(path, *given, **more)
pathlib.Path.read_text = read_text
"""

FILES: Mapping[str, str] = {
    "packages: one of equal version that was replaced": "SITE/theirs-1.0.dist-info/RECORD",
    "packages: another version": "SITE/theirs-1.0.dist-info/METADATA",
    "packages: a module of an editable one": "edited/edited.py",
    "packages: a compiled module of an editable one": "edited/compiled.so",
    "packages: a file of one from an address": "SITE/fetched.py",
    "packages: the commit of one from an address": "SITE/fetched-1.0.dist-info/direct_url.json",
    "model: its file": "good.py",
    "model: what it imports": "own_net.py",
    "model: what that imports": "own_parts.py",
    "model: data that it names": "named.bin",
    "reads: data that it was seen to read": "data/trained.npz",
    "reads: a folder that it was seen to list": "listed/another",
}
OF_RECITE: Mapping[str, str] = {
    "strategy: its file": "plugins/strategies/recite.py",
    "strategy: a step": "plugins/steps/recite.py",
    "strategy: what a step imports": "plugins/steps/_spoken.py",
    "strategy: what that imports": "plugins/steps/_words.py",
    "strategy: its runtime": "plugins/runtimes/reciting.py",
}
CONTENTS: Mapping[str, bytes] = {
    "packages: one of equal version that was replaced": b"other.py,sha256=two,10\n",
    "packages: another version": b"",
    "packages: the commit of one from an address": b"",
}


def run_now(world: World, name: str = "now", **conditions: Any) -> set[str]:
    """The strategies of the cells that `--changed` leaves to be run."""
    attempt, _ = world.begun(name, quiet_night(world.plan), **conditions)
    return {cell.strategy for cell in world.plan.cells} - {cell.strategy for cell in attempt.recorded(world.plan)}


def test_nothing_is_run_where_nothing_changed(base: World) -> None:
    assert run_now(base) == set()


@pytest.mark.parametrize("part", [*FILES, *OF_RECITE])
def test_a_file_that_changed_has_its_cells_run(base: World, part: str) -> None:
    place = {**FILES, **OF_RECITE}[part]
    path = base.site / place.removeprefix("SITE/") if place.startswith("SITE/") else base.folder / place
    if part == "packages: another version":
        path.write_text(path.read_text().replace("1.0", "1.1"), encoding="utf-8")
        assert run_now(base) == {"native", "recite"}
        path.write_text(path.read_text().replace("1.1", "1.0"), encoding="utf-8")
    elif part == "packages: the commit of one from an address":
        before = path.read_text()
        path.write_text(before.replace("{}", '{"hash": "sha256=two"}'), encoding="utf-8")
        assert run_now(base) == {"native", "recite"}
        path.write_text(before, encoding="utf-8")
    else:
        with other(path, CONTENTS.get(part, b"# other\n")):
            assert run_now(base) == ({"recite"} if part in OF_RECITE else {"native", "recite"})


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("python", lambda world: shim(world, "sys.version = '3.11.7 (another build)'")),
        ("libraries", other_library),
        ("cpu", lambda world: shim(world, CPU)),
        ("policy", lambda world: with_policy(world, timeout_s=299.0)),
        ("threads", lambda world: with_policy(world, threads=2)),
    ],
)
def test_another_condition_has_all_cells_run(base: World, part: str, changed: Callable[[World], World]) -> None:
    now = changed(base)
    attempt, told = now.begun("now", quiet_night(now.plan))
    assert attempt.recorded(now.plan) == []
    before, after = (identities.kept(each) for each in (base.attempt("seen"), attempt))
    assert before is not None
    assert after is not None
    shared = before.ingredients.shared, after.ingredients.shared
    assert [name for name in shared[0] if shared[0][name] != shared[1][name]] == [part]
    assert any("2 are run, since" in line for line in told)


def with_policy(world: World, **values: Any) -> World:
    return replace_world(world, plan=replace(world.plan, policy=replace(world.plan.policy, **values)))


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("ORT_DISABLE_ALL", True),
        ("PYTORCH_JIT", True),
        ("MALLOC_ARENA_MAX", True),
        ("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", True),
        ("HF_TOKEN", False),
        ("OMP_NUM_THREADS", False),
        ("EDITOR", False),
    ],
)
def test_variables_that_frameworks_read_have_a_say(
    base: World, monkeypatch: pytest.MonkeyPatch, name: str, run: bool
) -> None:
    monkeypatch.setenv(name, "7")
    assert run_now(base) == ({"native", "recite"} if run else set())


MAPS = """
import pathlib
read = pathlib.Path.read_text
def read_text(path, *given, **more):
    names = "libc-2.31.so", "ld-2.31.so", "libother-1.0.so"
    mapped = "".join(f"0-1 r-xp 0 0:0 1 /lib/{name}\\n" for name in names)
    return mapped if str(path) == "/proc/self/maps" else read(path, *given, **more)
pathlib.Path.read_text = read_text
"""


def test_the_c_library_has_a_say_where_its_file_is_called_by_its_version(base: World) -> None:
    found = inventory_of(base.root, shim(base, MAPS).prepared, pinned=True)
    assert found["libraries"].keys() == {"libc-2.31.so", "ld-2.31.so"}


def test_what_conda_installed_has_a_say(base: World) -> None:
    meta = base.folder / "env" / "conda-meta"
    meta.mkdir()
    found = set()
    for build in ("h1", "h2"):
        (meta / f"mkl-2024.0-{build}.json").touch()
        found.add(inventory_of(base.root, base.prepared, pinned=False)["packages"]["packages of conda"])
        (meta / f"mkl-2024.0-{build}.json").unlink()
    meta.rmdir()
    assert len(found) == 2


def test_what_is_published_of_variables_is_no_secret() -> None:
    given = {"HARNESS_PASS_ENV": "MY_*", "MY_SETTING": "private", "MY_API_KEY": "k", "HF_TOKEN": "t", "ORT_LEVEL": "3"}
    found = variables("cpu", {**given, "HF_ENDPOINT": "https://me:secret@host"})
    assert found["ORT_LEVEL"] == "3"
    assert {"MY_SETTING", "HF_ENDPOINT"} <= found.keys(), "they have a say"
    assert not {"HF_TOKEN", "MY_API_KEY"} & found.keys()
    assert not any(text in value for value in found.values() for text in ("private", "secret"))


def test_the_bench_has_a_say(base: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PACKAGE / "bench", tmp_path / "bench")
    monkeypatch.setattr(bench_identity, "PACKAGE", tmp_path)
    assert run_now(base) == set()
    with (tmp_path / "bench" / "match.py").open("a", encoding="utf-8") as file:
        file.write("# other\n")
    assert run_now(base) == {"native", "recite"}


def test_a_gpu_and_its_driver_have_a_say(world: World) -> None:
    cells = tuple(replace(cell, device="cuda") for cell in world.plan.cells)
    world.plan = replace(world.plan, device="cuda", cells=cells)
    gpu: dict[str, Any] = {"gpu": {"name": "H200", "memory_mb": 143771, "count": 1}, "driver": "570.1"}
    world.seen("2026-01-31T13:00:00Z", both(world.plan), **gpu)
    assert run_now(world, **gpu) == set()
    assert run_now(world, **{**gpu, "driver": "570.2"}) == {"native", "recite"}
    assert run_now(world, **{**gpu, "gpu": {**gpu["gpu"], "name": "H100"}}) == {"native", "recite"}


def test_what_is_carried_over_says_whose_it_is_and_keeps_all_that_was_recorded(world: World) -> None:
    attempt, told = world.begun("now", quiet_night(world.plan))
    assert told == [f"small: 2 of 2 cells are carried over, seen by the run of {STARTED}"]
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    assert (made.run.complete, made.run.carried, made.run.jobs) == (True, 2, 1)
    before = read_table(tables_of([world.root / "results"], "small")[-1])
    for was, now in zip(before.records, made.records, strict=True):
        assert now == replace(was, carried_from=STARTED)
    assert made.launches == before.launches
    assert made.ingredients == before.ingredients
    assert details.seen(world.root, made.run, "good", "native")["error"] == "all of it"
    again, _ = world.begun("again", quiet_night(world.plan))
    third = world.settled(again, "2026-02-02T12:00:00Z")
    assert {each.carried_from for each in third.records} == {STARTED}, "who saw it, and not who carried it"


def other_machine(world: World) -> dict[str, Any]:
    return {"machine": {**world.inside["machine"], "memory_mb": world.inside["machine"]["memory_mb"] + 1}}


def test_on_another_machine_an_outcome_is_carried_without_figures(world: World) -> None:
    elsewhere = other_machine(world)
    attempt, _ = world.begun("now", quiet_night(world.plan), **elsewhere)
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    assert [each.outcome.value for each in made.records] == ["passed", "failed"]
    assert all(getattr(each, name) is None for each in made.records for name in OF_THE_MACHINE)
    assert made.launches == ()
    back, _ = world.begun("back", quiet_night(world.plan))
    assert world.settled(back, "2026-02-02T12:00:00Z").records[0].latency_ms == 1.5, "an older table has the figures"


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.CRASHED])
def test_what_came_of_a_limit_is_carried_on_the_same_machine_with_as_many_jobs(world: World, outcome: Outcome) -> None:
    world.seen("2026-01-31T13:00:00Z", both(world.plan, outcome=outcome))
    shutil.rmtree(tables_of([world.root / "results"], "small")[-1])
    assert run_now(world) == set()
    assert run_now(world, jobs=2) == {"recite"}
    assert run_now(world, **other_machine(world)) == {"recite"}


@pytest.mark.parametrize("stage", [Stage.IMPORT, Stage.BUILD])
def test_what_broke_before_it_was_built_is_run_again(world: World, stage: Stage) -> None:
    world.seen("2026-01-31T13:00:00Z", both(world.plan, stage=stage, convert_s=None))
    shutil.rmtree(tables_of([world.root / "results"], "small")[-1])
    assert run_now(world) == {"recite"}


def test_a_cell_of_which_it_is_not_known_what_it_read_is_run_again(world: World) -> None:
    shutil.rmtree(world.root / "results")
    attempt, _ = world.begun("seen")
    for cell in world.plan.cells:
        attempt.write(cell, both(world.plan)[cell.strategy], {"launches": [timing([0.001, 0.002])]})
    made = world.settled(attempt, "2026-01-31T13:00:00Z")
    assert {each.identity for each in made.records} == {None}
    assert run_now(world) == {"native", "recite"}


def test_each_cell_is_run_again_on_one_of_twenty_nights() -> None:
    cells = [Cell("torch2.0", f"model-{number}", "native", "cpu") for number in range(400)]
    nights = [date(2026, 12, 20) + timedelta(days=days) for days in range(NIGHTS)]
    due = [[cell for cell in cells if is_due(cell, night, seen="2026-12-20T01:00:00Z")] for night in nights]
    assert sorted(cell.model for each in due for cell in each) == sorted(cell.model for cell in cells)
    assert max(map(len, due)) < 3 * len(cells) / NIGHTS


def test_a_cell_whose_night_was_left_out_is_run_on_the_next_that_there_is() -> None:
    cell = Cell("torch2.0", "one", "native", "cpu")
    own = night_of(cell)
    seen = f"{own - timedelta(days=NIGHTS)}T03:00:00Z"
    assert [is_due(cell, own + timedelta(days=days), seen=seen) for days in (-1, 0, 1, 2)] == [False, True, True, True]
    assert not is_due(cell, own + timedelta(days=1), seen=f"{own}T03:00:00Z")


def test_what_a_cell_had_come_to_is_not_held_against_it_once_something_changed(world: World) -> None:
    """The run was interrupted before it came to the cell, and goes on after an edit."""
    cell = next(cell for cell in world.plan.cells if cell.strategy == "recite")
    night = night_of(cell)
    attempt, _ = world.begun("now", night)
    assert [each["strategy"] for each in attempt.expectations()] == ["recite"]
    task, inside = Task(plan=world.plan), {**world.inside, "jobs": 1}
    carrier = Carrier(root=world.root, tables=tables_of([world.root / "results"], "small"), night=night)
    with other(world.folder / "data" / "trained.npz"):
        carrier.take_up(attempt, task, world.prepared, inside, fresh=False)
        assert attempt.expectations() == []
    carrier.take_up(attempt, task, world.prepared, inside, fresh=False)
    attempt.write(cell, record(world.plan, "recite"), {"reads": world.reads()})
    carrier.take_up(attempt, task, world.prepared, inside, fresh=False)
    assert [each["strategy"] for each in attempt.expectations()] == ["recite"], "it was run by then"


def night_of(cell: Cell) -> date:
    """The first night after that of the table on which a cell is run again."""
    nights = (date(2026, 2, 1) + timedelta(days=days) for days in range(NIGHTS))
    return next(night for night in nights if is_due(cell, night, seen=STARTED))


def test_another_outcome_of_a_cell_that_is_run_again_is_not_reproducible(world: World) -> None:
    cell = next(cell for cell in world.plan.cells if cell.strategy == "recite")
    night = night_of(cell)
    attempt, told = world.begun("now", night)
    assert cell not in attempt.recorded(world.plan)
    assert "small: 1 that nothing changed for are run again tonight" in told
    for each in set(world.plan.cells) - set(attempt.recorded(world.plan)):
        kept = {"reads": world.reads(), "launches": [timing([0.001, 0.002])]}
        attempt.write(each, record(world.plan, each.strategy), kept)
    made = world.settled(attempt, "2026-02-01T12:00:00Z")
    (found,) = made.run.not_reproducible
    assert (found.cell, found.before, found.now, found.seen) == ("good/recite", "failed at convert", "passed", STARTED)


def test_whoever_goes_on_asks_anew_what_can_be_carried(world: World) -> None:
    attempt, _ = world.begun("now", quiet_night(world.plan))
    task, inside = Task(plan=world.plan), {**world.inside, "jobs": 1}
    Carrier(root=world.root).take_up(attempt, task, world.prepared, inside, fresh=False)
    assert attempt.recorded(world.plan) == [], "a run of all cells goes on with none that was not run"


def test_nobody_is_said_to_have_worked_on_what_was_carried(world: World) -> None:
    attempt, _ = world.begun("now", quiet_night(world.plan))
    assert attempt.spans() == {("good", "native"): [], ("good", "recite"): []}


def test_tables_that_say_nothing_of_identities_are_passed_over(world: World) -> None:
    (folder,) = tables_of([world.root / "results"], "small")
    (folder / "identity.json").unlink()
    assert run_now(world) == {"native", "recite"}
    assert isinstance(read_table(folder).run, Run)
