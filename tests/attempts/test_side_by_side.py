"""Cells side by side: real benches with a stand-in for torch, and a step and runtime of the test's own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.attempts import side_by_side
from harness.attempts.execution import execute
from harness.attempts.settling import table_of
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt, State
from harness.bench.builds import read_built
from harness.bench.errors import ModelsWrongError
from harness.bench.identity import PARTS
from harness.bench.plan import Cell, Plan, Policy, expand
from harness.bench.record import write_json
from harness.bench.registry import discover
from harness.bench.waiting import read_waiting
from harness.executors import local
from harness.executors.local import Local
from harness.executors.units import Unit, Work
from harness.tables.ingredients import Surroundings
from tests.attempts.conftest import MODEL, Observer, running
from tests.duel.sides import BUSY, RUNTIME, STEP, STRATEGY

MODELS = ("one", "two", "three")

STEPS = {
    "saved": "pass",
    "refusing": "raise ValueError('no such operator')",
    "dying": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "straying": "context.state()['weight'] += 1",
}


@pytest.fixture
def python(ambient: Path) -> Path:
    return ambient


def _task(
    folder: Path,
    python: Path,
    *,
    steps: Sequence[str] = tuple(STEPS),
    models: Sequence[str] = MODELS,
    launches: int = 1,
    **texts: str,
) -> Task:
    """Models by a strategy of each step."""
    plugins = folder / "plugins"
    for part in ("steps", "strategies", "runtimes"):
        (plugins / part).mkdir(parents=True, exist_ok=True)
    (plugins / "runtimes" / "quick.py").write_text(RUNTIME.replace("BODY", BUSY), encoding="utf-8")
    for step in steps:
        text = STEP.replace("    path =", f"    {texts.get(step, STEPS.get(step, 'pass'))}\n    path =")
        (plugins / "steps" / f"{step}.py").write_text(text, encoding="utf-8")
        (plugins / "strategies" / f"by_{step}.py").write_text(
            STRATEGY.replace('"saved"', f'"{step}"').replace("NAME", "quick"), encoding="utf-8"
        )
    files = []
    for name in models:
        files.append(folder / f"{name}.py")
        files[-1].write_text(MODEL.replace("WIDTH", "8"), encoding="utf-8")
    strategies = [f"by-{step}" for step in steps]
    cells = expand(
        discover(models=files, plugins=[plugins]),
        combination="small",
        device="cpu",
        tier="quick",
        strategies=strategies,
    )
    plan = Plan(
        combination="small",
        device="cpu",
        tier="quick",
        cells=cells,
        models=tuple(map(str, files)),
        plugins=(str(plugins),),
        policy=Policy(timeout_s=30.0, memory_limit_mb=1000, measure_s=0.01, launches=launches),
        selected=True,
    )
    return Task(plan=plan, interpreter=python)


@contextlib.contextmanager
def _executed(root: Path, task: Task, observer: Observer, *, jobs: int = 2, run: str = "one") -> Iterator[Attempt]:
    with contextlib.ExitStack() as holds:
        yield execute(root, task, observer, holds, run=run, executor=Local(jobs), durations=_long(task))


def _long(task: Task) -> dict[tuple[str, str], float]:
    """As if each model's cells took long enough for a unit of their own."""
    return {(cell.model, cell.strategy): 10.0 for cell in task.plan.cells}


def _details(attempt: Attempt, cell: Cell) -> dict[str, Any]:
    return dict(json.loads(attempt.record_of(cell).read_text(encoding="utf-8"))["details"])


def _ends(attempt: Attempt) -> dict[tuple[str, str], tuple[str, str, str | None]]:
    table = table_of([attempt], pins={})
    return {(r.model, r.strategy): (r.outcome.value, r.stage.value, r.fingerprint) for r in table.records}


def test_cells_side_by_side_come_to_what_they_come_to_one_after_another(root: Path, python: Path) -> None:
    models = MODELS[:2]
    alone, beside = Observer(), Observer()
    with _executed(root, _task(root.parent, python, models=models[:1]), alone, jobs=1) as attempt:
        wanted = _ends(attempt)
        natives = {path.name: path.read_text() for path in attempt.natives.iterdir()}
        assert not attempt.units.exists()
    task = _task(root.parent, python, models=models)
    with _executed(root, task, beside) as attempt:
        ends = _ends(attempt)
        assert {key: ends[key] for key in wanted} == wanted
        assert {(key, end[:2]) for key, end in ends.items()} == {
            ((model, strategy), end[:2]) for model in models for (_, strategy), end in wanted.items()
        }
        found = {path.name: path.read_text() for path in attempt.natives.iterdir()}
        assert {name: found[name] for name in natives} == natives
        assert len(found) == len(models)
        assert not attempt.units.exists()
        assert not list(attempt.waiting.iterdir())
        table = table_of([attempt], pins={})
        first = sorted(each[0] for each in attempt.spans().values())
    assert any(one[1] > other[0] for one, other in itertools.pairwise(first)), "two are under way at a time"
    assert {end[:2] for end in wanted.values()} == {
        ("passed", "measure"),
        ("failed", "convert"),
        ("crashed", "convert"),
        ("mismatched", "match"),
    }
    timed = [record for record in table.records if record.outcome.value == "passed"]
    assert len(timed) == len(models)
    assert all(record.latency_ms for record in timed)
    assert len([line for line in beside.told if line.startswith("ended")]) == len(task.plan.cells)
    # What may have been others' doing ran once more, alone.
    stopped = {line for line in beside.told if line.startswith("stopped")}
    assert stopped == {f"stopped {model} by-dying" for model in models}
    # The bench that ran those took what the units' benches had built: of one build all tell the same.
    told = [(cell.model, _details(attempt, cell)["build_seconds"]) for cell in task.plan.cells]
    assert len({json.dumps(each) for each in told}) == len(models)
    assert not attempt.shared.exists()
    # Nothing is timed while anything else is run.
    kinds = [line.split()[0] for line in beside.told if line.split()[0] in ("started", "waiting", "timing")]
    assert "started" not in kinds[kinds.index("timing") :]
    # Broken cells leave as much as they do alone.
    assert {path.name for path in attempt.kept.iterdir()} >= {f"{model}--by-refusing" for model in models}


def test_cells_of_a_duel_are_made_ready_side_by_side(root: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What waits is many files, and is taken away at once, while the bench still looks how much it is.
    monkeypatch.setattr(local, "_POLL_S", 0.005)
    many = "for number in range(3000): (context.folder / str(number)).touch()"
    task = _task(root.parent, python, steps=("many", "refusing"), models=MODELS[:2], many=many)
    task = replace(task, plan=replace(task.plan, duel_side="a"))
    with _executed(root, task, Observer()) as attempt:
        assert len(attempt.recorded(task.plan)) == len(task.plan.cells)
        for model in MODELS[:2]:
            saved, refused = (attempt.waiting / f"{model}--by-{step}" for step in ("many", "refusing"))
            waiting = read_waiting(saved)
            assert waiting is not None
            assert Path(waiting.artifact["path"]).is_relative_to(saved)
            assert Path(waiting.artifact["path"]).is_file()
            assert not refused.exists()
            assert not read_built(attempt.built, model).edited()


class _Watched:
    """Units one after another, with something done once one has ended a cell."""

    jobs = 2

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        self.conditions: Mapping[str, Any] = {}

    def surroundings(self, unit: Unit, work: Work, here: Surroundings) -> Sequence[Surroundings]:
        return Local(1).surroundings(unit, work, here)

    def alone(self, unit: Unit, work: Work, look: Callable[[], None], *, only_waiting: bool = False) -> int:
        return Local(1).alone(unit, work, look, only_waiting=only_waiting)

    def run(self, units: Sequence[Unit], work: Work, look: Callable[[], bool]) -> None:
        def looked() -> bool:
            on = look()
            if any(Attempt(unit.folder).events.read_text().count('"ended"') for unit in units if _has_events(unit)):
                self._then()
            return on

        Local(2).run(units, work, looked)


def _has_events(unit: Unit) -> bool:
    return Attempt(unit.folder).events.exists()


def test_an_interruption_ends_all_that_was_started_and_loses_no_record(root: Path, python: Path) -> None:
    task = _task(root.parent, python, steps=("refusing",), refusing="import time; time.sleep(0.3); raise ValueError")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), contextlib.ExitStack() as holds:
        execute(root, task, Observer(), holds, run="one", executor=_Watched(interrupt), durations=_long(task))
    (file,) = (root / ".harness" / "attempts" / "small").glob("*/attempt.json")
    attempt = Attempt(file.parent)
    assert attempt.state is State.PAUSED
    recorded = len(attempt.recorded(task.plan))
    assert recorded
    assert not running(str(attempt.folder))
    assert not attempt.units.exists()
    observer = Observer()
    with _executed(root, task, observer) as attempt:
        assert len(_ends(attempt)) == len(task.plan.cells)
    assert any(line.startswith("going on with") for line in observer.told)


def test_a_model_that_is_wrong_is_told_at_once_and_ends_what_runs_beside_it(root: Path, python: Path) -> None:
    task = _task(root.parent, python, steps=("saved",), saved="import time; time.sleep(20)")
    (root.parent / "two.py").write_text(
        MODEL.replace('{"x": uniform((2, WIDTH)', '{"y": uniform((2, 8)'), encoding="utf-8"
    )
    began = time.monotonic()
    with pytest.raises(ModelsWrongError, match=r"two\.py: InputsError"), _executed(root, task, Observer()):
        pass
    assert time.monotonic() - began < 19
    (file,) = (root / ".harness" / "attempts" / "small").glob("*/attempt.json")
    assert Attempt(file.parent).state is State.REFUSED
    assert not running(str(file.parent))


def test_what_waits_is_timed_before_others_are_run_where_it_takes_the_disk(
    root: Path, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "WAITING_SHARE", 1e-12)
    task = _task(root.parent, python, steps=("saved",))
    observer = Observer()
    with _executed(root, task, observer) as attempt:
        assert {end[0] for end in _ends(attempt).values()} == {"passed"}
    kinds = [line.split()[0] for line in observer.told if line.split()[0] in ("started", "timing")]
    assert "started" in kinds[kinds.index("timing") :], "timing makes room, then others run"


KILLED = """
import contextlib, sys
from pathlib import Path
from typing import Any
sys.path.insert(0, {here!r})
from harness.attempts.execution import execute
from harness.executors import local
from harness.executors.local import Local
from tests.attempts.conftest import Observer
from tests.attempts.test_side_by_side import _long, _task

root = Path({root!r})
task = _task(root.parent, Path({python!r}), steps=("refusing",),
             refusing="import time; time.sleep(0.5); raise ValueError")
with contextlib.ExitStack() as holds:
    execute(root, task, Observer(), holds, run="one", executor=Local(2), durations=_long(task))
"""


def test_what_a_killed_run_recorded_in_units_is_gone_on_with(root: Path, python: Path) -> None:
    text = KILLED.format(here=str(Path(__file__).resolve().parents[2]), root=str(root), python=str(python))
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.DEVNULL)
    try:
        _wait_until(lambda: len(list((root / ".harness").glob("attempts/small/*/records/*.json"))) >= 1, process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (file,) = (root / ".harness" / "attempts" / "small").glob("*/attempt.json")
    before = {path.name: path.read_text() for path in Attempt(file.parent).records.glob("*.json")}
    task = _task(root.parent, python, steps=("refusing",), refusing="import time; time.sleep(0.5); raise ValueError")
    observer = Observer()
    with _executed(root, task, observer) as attempt:
        ends = _ends(attempt)
        after = {path.name: path.read_text() for path in attempt.records.glob("*.json")}
    assert len(ends) == len(task.plan.cells)
    assert all(after[name] == text for name, text in before.items()), "none was run again"
    assert any(line.startswith("going on with") for line in observer.told)
    assert not running(str(file.parent))


def test_what_a_unit_converted_comes_over_with_its_record(tmp_path: Path) -> None:
    unit, attempt, cell = Attempt(tmp_path / "unit"), Attempt(tmp_path / "attempt"), Cell("small", "one", "by", "cpu")
    for each in (unit.records, attempt.records, unit.artifacts / cell.slug / "convert"):
        each.mkdir(parents=True)
    write_json(unit.record_of(cell), {"row": {"outcome": "passed"}, "details": {}})
    assert side_by_side.take_over(unit, attempt, cell)
    assert (attempt.artifacts / cell.slug / "convert").is_dir()
    assert attempt.record_of(cell).is_file()


def test_what_a_cell_is_given_goes_to_its_unit(tmp_path: Path) -> None:
    cells = tuple(Cell("small", name, "by", "cpu") for name in MODELS)
    plan = Plan(combination="small", device="cpu", tier="quick", cells=cells, duel_side="a")
    attempt, parts = Attempt(tmp_path / "attempt"), dict.fromkeys(PARTS, "p")
    attempt.begin(plan, parts, {})
    for cell in cells[1:]:
        (attempt.given / cell.slug / "convert").mkdir(parents=True)
    units = side_by_side.SideBySide(attempt, plan).begin(
        [cells[:2], cells[2:]], parts, {}, lock="", seconds=lambda _: 1.0
    )
    given = [sorted(path.name for path in Attempt(unit.folder).given.glob("*")) for unit in units]
    assert given == [[cells[1].slug], [cells[2].slug]]


def test_where_what_waits_took_the_disk_it_goes_first_though_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt(tmp_path)
    (attempt.waiting / "one--by").mkdir(parents=True)
    (attempt.waiting / "one--by" / "artifact").write_bytes(bytes(2**16))
    beside = side_by_side.SideBySide(attempt, Plan(combination="small", device="cpu", tier="quick", cells=()))
    assert beside.look()
    monkeypatch.setattr(side_by_side, "WAITING_SHARE", 0.0)
    assert not beside.look()
    monkeypatch.undo()
    assert not beside.look()


def test_what_builds_of_a_model_told_in_units_is_kept_of_the_first(tmp_path: Path) -> None:
    attempt, *units = (Attempt(tmp_path / name) for name in ("attempt", "first", "second"))
    for each in (attempt, *units):
        each.builds.mkdir(parents=True)
        each.natives.mkdir()
    for number, unit in enumerate(units):
        unit.write_build("one", {"outputs": {}}, {"/helper.py": f"digest {number}"})
        side_by_side.take_build(unit, attempt, "one")
        assert not [*unit.builds.iterdir(), *unit.natives.iterdir()]
    assert json.loads((attempt.builds / "one.json").read_text()) == {"/helper.py": "digest 0"}
    assert json.loads((attempt.natives / "one.json").read_text()) == {"outputs": {}}


def _wait_until(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < deadline
        time.sleep(0.02)
