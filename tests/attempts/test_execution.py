"""Runs from plan to table: in an ambient environment with a stand-in for torch, and without any environment."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness import cli
from harness.attempts import execution
from harness.attempts.rows import write_row
from harness.attempts.settling import settle, table_of
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt, State
from harness.bench.errors import BenchBrokenError, PausedError, UsageError
from harness.bench.identity import identity, name_of
from harness.bench.plan import Cell, Plan, Policy, expand
from harness.bench.registry import discover
from harness.bench.stages import Outcome, Stage
from harness.matrix.combination import read
from harness.matrix.locks import Lock
from harness.matrix.wholeness import Change
from tests.attempts.conftest import Observer, leave_waiting


def plan_of(root: Path, *models: str) -> Plan:
    files = [root.parent / f"{name}.py" for name in models or ("good",)]
    plugins = [root.parent / "plugins"]
    registry = discover(models=files, plugins=plugins)
    return Plan(
        combination="small",
        device="cpu",
        tier="quick",
        cells=expand(registry, combination="small", device="cpu", tier="quick", strategies=["recite", "native"]),
        models=tuple(map(str, files)),
        plugins=tuple(map(str, plugins)),
        policy=Policy(measure_s=0.01, threads=1),
        selected=True,
    )


def execute(root: Path, task: Task, observer: Observer, **how: Any) -> Attempt:
    """Execute a task, and let go of its attempt."""
    with contextlib.ExitStack() as holds:
        return execution.execute(root, task, observer, holds, **how)


def _task(root: Path, python: Path, *models: str) -> Task:
    return Task(plan=plan_of(root, *models), interpreter=python)


def test_cells_of_a_lock_without_a_solution_are_recorded(root: Path) -> None:
    observer = Observer()
    lock = Lock(root / "matrices" / "locks" / "small.unresolvable", "", "No solution found: a needs b")
    task = Task(plan=plan_of(root), combination=read(root, "small"), lock=lock)
    attempt = execute(root, task, observer, run="one")
    assert attempt.state is State.ENDED
    table = table_of([attempt], pins=task.pins)
    assert (table.run.complete, table.run.planned, table.run.packages) == (True, 2, {})
    assert dict(table.run.pins) == {"six": "1.16.0"}
    for record in table.records:
        assert (record.outcome.value, record.stage.value, record.error_type) == (
            "unresolvable",
            "resolve",
            "NoSolution",
        )
        assert (record.error, bool(record.fingerprint)) == ("No solution found: a needs b", True)
    assert "begin small 2 {}" in observer.told
    assert dict(table.locks) == {"": "No solution found: a needs b"}


def test_cells_of_an_extension_that_does_not_exist_cannot_exist(root: Path) -> None:
    task = Task(plan=replace(plan_of(root), extension="tools"))
    table = table_of([execute(root, task, Observer(), run="one")], pins={})
    for record in table.records:
        assert (record.outcome.value, record.stage.value) == ("not-applicable", "resolve")
        assert "small has no extension 'tools'; add matrices/small+tools.in" in (record.error or "")


def test_a_run_is_told_of_as_it_goes_and_an_interrupted_one_goes_on(root: Path, ambient: Path) -> None:
    observer = Observer()
    attempt = execute(root, _task(root, ambient), observer, run="one")
    assert attempt.state is State.ENDED
    table = table_of([attempt], pins={})
    ends = {record.strategy: (record.outcome.value, record.stage.value, record.error) for record in table.records}
    assert ends["recite"] == ("not-applicable", "load", "nothing to recite with")
    assert observer.told == [
        "begin small 2 {}",
        *(
            f"{what} good {s}{end}"
            for s in _order(observer)
            for what, end in (("started", ""), ("ended", _end(ends[s])))
        ),
    ]
    assert not list(attempt.scratch.glob("*")), "nothing is left in scratch"

    attempt.record_of(plan_of(root).cells[0]).unlink()
    attempt.pause("it was interrupted.")
    again = Observer()
    resumed = execute(root, _task(root, ambient), again, run="two")
    assert resumed.folder == attempt.folder
    assert table_of([resumed], pins={}).run.started == table.run.started
    assert again.told[0] == "going on with 1 cells that an interrupted run recorded"
    assert [line.split()[0] for line in again.told[1:]] == ["begin", "started", "ended"]


def _order(observer: Observer) -> list[str]:
    return [line.split()[2] for line in observer.told if line.startswith("started")]


def _end(ends: tuple[str, str, str | None]) -> str:
    return f" {ends[0]} {ends[1]}"


def test_what_is_settled_is_done_for_its_run_and_made_anew_for_another(root: Path, ambient: Path) -> None:
    attempt = execute(root, _task(root, ambient), Observer(), run="one")
    there = root / "results" / "there"
    there.mkdir(parents=True)
    (there / "run.json").touch()
    settle([attempt], there)
    same, other = Observer(), Observer()
    assert execute(root, _task(root, ambient), same, run="one").state is State.SETTLED
    assert same.told == [f"small: done already, by the run that this goes on with; its table is {there}"]
    assert execute(root, _task(root, ambient), other, run="two").state is State.ENDED
    assert other.told[0] == "begin small 2 {}"


def test_what_ended_without_a_table_is_not_run_again(root: Path, ambient: Path) -> None:
    attempt = execute(root, _task(root, ambient), Observer(), run="one")
    ended = (attempt.read() or {})["ended"]
    again = Observer()
    assert execute(root, _task(root, ambient), again, run="two").state is State.ENDED
    assert not [line for line in again.told if line.startswith("started")]
    assert (attempt.read() or {})["ended"] == ended


def test_with_restart_nothing_is_gone_on_with(root: Path, ambient: Path) -> None:
    execute(root, _task(root, ambient), Observer(), run="one").pause("it was interrupted.")
    again = Observer()
    execute(root, _task(root, ambient), again, run="one", restart=True)
    assert len([line for line in again.told if line.startswith("started")]) == 2


HELPER = """
VALUE = 1
"""


def test_a_module_that_only_the_build_imports_is_compared_when_going_on(root: Path, ambient: Path) -> None:
    helper = root.parent / "their_helper.py"
    helper.write_text(HELPER, encoding="utf-8")
    model = root.parent / "good.py"
    text = model.read_text(encoding="utf-8")
    body = "    import importlib\n    importlib.import_module('their' + '_helper')\n    import torch\n"
    model.write_text(text.replace("    import torch\n", body), encoding="utf-8")
    attempt = execute(root, _task(root, ambient), Observer(), run="one")
    built = json.loads((attempt.builds / "good.json").read_text(encoding="utf-8"))
    assert str(helper) in built
    kept = json.loads((attempt.natives / "good.json").read_text(encoding="utf-8"))
    assert list(kept["code"]) == ["their_helper"]
    attempt.record_of(plan_of(root).cells[0]).unlink()
    attempt.pause("it was interrupted.")
    helper.write_text(HELPER.replace("1", "2"), encoding="utf-8")
    again = Observer()
    execute(root, _task(root, ambient), again, run="two")
    assert again.told[0] == "small: beginning anew, since their_helper.py, which good imports, differs"
    assert len([line for line in again.told if line.startswith("started")]) == 2


def _identity(root: Path, plan: Plan, *, lock: str = "", packages: Mapping[str, str] | None = None) -> str:
    inside = {"packages": packages or {"torch": "2.0.1"}, "python": "3.11.7"}
    return name_of(identity(plan, plan.registry(), inside=inside, lock=lock))


def test_what_a_run_depends_on_is_in_its_identity(root: Path) -> None:
    plan = plan_of(root)
    found = [_identity(root, plan), _identity(root, plan, lock="six==1.16.0\n")]
    assert _identity(root, plan) == found[0]
    assert _identity(root, replace(plan, lock="/elsewhere/lock.txt"), lock="six==1.16.0\n") == found[1]
    found.append(_identity(root, plan, lock="six==1.15.0\n"))
    found.append(_identity(root, plan, packages={"torch": "2.0.1", "beside": "1"}))
    found.append(_identity(root, replace(plan, policy=replace(plan.policy, launches=5))))
    found.append(_identity(root, replace(plan, cells=plan.cells[:1])))
    for path in ("good.py", "plugins/steps/recite.py", "plugins/runtimes/reciting.py"):
        with (root.parent / path).open("a", encoding="utf-8") as file:
            file.write("# more\n")
        found.append(_identity(root, plan))
    assert len(set(found)) == len(found)


def test_an_environment_in_which_the_bench_does_not_start_is_told(root: Path, ambient: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pth"
    (site,) = ambient.parent.parent.glob("lib/python*/site-packages")
    plugin = site / "conftest_breaks_everything.py"
    plugin.write_text("raise OSError('no such plugin')\n", encoding="utf-8")
    del broken
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONSTARTUP", "")
        patch.setattr("harness.executors.processes.PACKAGE", tmp_path / "nowhere")
        with pytest.raises(BenchBrokenError, match=r"the bench did not run in small \(exit code \d+\)"):
            execute(root, _task(root, ambient), Observer(), run="one")
    plugin.unlink()
    (attempt,) = (root / ".harness" / "attempts" / "small").glob("*/attempt.json")
    assert Attempt(attempt.parent).state is State.PAUSED


KILLS = """
from harness.bench import Artifact, Step


def run(context, source):
    import os, signal
    pid = os.getpid()
    while True:
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{pid}/cmdline") as file:
            if "-pharness.bench" in file.read():
                break
    os.kill(pid, signal.SIGKILL)


STEP = Step(summary="", run=run, produces="thing")
"""


def test_a_bench_that_dies_with_a_cell_is_started_again_for_the_others(root: Path, ambient: Path) -> None:
    (root.parent / "plugins" / "steps" / "recite.py").write_text(KILLS, encoding="utf-8")
    observer = Observer()
    attempt = execute(root, _task(root, ambient), observer, run="one")
    ends = {r.strategy: (r.outcome.value, r.error_type) for r in table_of([attempt], pins={}).records}
    assert ends["recite"] == ("crashed", "BenchDied")
    assert "native" in ends
    assert any("the bench died with small/good/recite" in line for line in observer.told)


def _harness(root: Path, ambient: Path, *arguments: str | Path) -> Result:
    given = ["--root", root, "run", "--python", ambient, "--plugin-folder", root.parent / "plugins"]
    return CliRunner().invoke(cli.cli, [*map(str, given), *map(str, arguments)], prog_name="harness")


def test_a_probe_that_contradicts_the_example_is_told_at_once_and_no_table_is_written(
    root: Path, ambient: Path
) -> None:
    files = [argument for name in ("good", "misfit") for argument in ("--models", root.parent / f"{name}.py")]
    result = _harness(root, ambient, *files, "--strategies", "recite")
    assert result.exit_code == 2, result.output
    assert "misfit.py: InputsError: probe 'other' gives the inputs y; the example gives x" in result.stderr
    assert not list(root.rglob("cells.csv"))


def test_a_probe_that_forward_rejects_is_recorded_told_early_and_exit_2_at_the_end(root: Path, ambient: Path) -> None:
    """A version may be to blame: in another environment it may be taken."""
    files = [argument for name in ("good", "wrong") for argument in ("--models", root.parent / f"{name}.py")]
    result = _harness(root, ambient, *files, "--strategies", "recite")
    assert result.exit_code == 2, result.output
    early, _, end = (result.stdout + result.stderr).partition("Table: ")
    assert "wrong raised while it was built, at " in early
    assert "Mend the probe or forward. If it does so in every environment, its file has to be mended" in early
    assert "1 model raised wherever it was built (ambient), which no version explains. All other" in end
    assert ": ProbeRejectedError: probe 'other' is rejected by forward: ValueError" in end
    (table,) = (root / ".harness" / "scratch" / "ambient").glob("cpu-quick+models-*+selected/*")
    rows = (table / "cells.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [",failed,build,ProbeRejectedError," in row for row in rows] == [False, True]


def test_a_refusal_removes_no_record(root: Path, ambient: Path) -> None:
    attempt = execute(root, _task(root, ambient), Observer(), run="one")
    kept = sorted(path.name for path in attempt.records.iterdir())
    attempt.refuse("because")
    assert sorted(path.name for path in attempt.records.iterdir()) == kept
    with pytest.raises(PausedError, match="is refused"):
        table_of([attempt], pins={})
    again = Observer()
    assert execute(root, _task(root, ambient), again, run="two").state is State.ENDED
    assert not [line for line in again.told if line.startswith("started")]


def test_wrong_models_are_refused_with_the_reason_of_the_bench(root: Path, ambient: Path) -> None:
    with pytest.raises(UsageError, match="probe 'other' gives the inputs y"):
        execute(root, _task(root, ambient, "misfit"), Observer(), run="one")


def test_a_model_file_that_raises_at_import_is_refused_before_anything_runs(root: Path, ambient: Path) -> None:
    (root.parent / "broken.py").write_text("raise OSError('no such disk')\nMODEL = None\n", encoding="utf-8")
    files = [argument for name in ("good", "broken") for argument in ("--models", root.parent / f"{name}.py")]
    result = _harness(root, ambient, *files, "--strategies", "recite")
    assert result.exit_code == 2, result.output
    assert f"{root.parent / 'broken.py'}:1: OSError: no such disk" in result.stderr
    assert not (root / ".harness" / "attempts").exists()


def test_a_model_file_that_raises_at_import_inside_fails_at_build_and_the_rest_runs(root: Path, ambient: Path) -> None:
    text = "import sys\nif sys.prefix != PREFIX:\n    raise OSError('no such disk')\n"
    text = text.replace("PREFIX", repr(sys.prefix)) + (root.parent / "good.py").read_text(encoding="utf-8")
    (root.parent / "broken.py").write_text(text, encoding="utf-8")
    files = [argument for name in ("good", "broken") for argument in ("--models", root.parent / f"{name}.py")]
    result = _harness(root, ambient, *files, "--strategies", "recite")
    assert result.exit_code == 2, result.output
    assert "1 model raised wherever it was built (ambient), which no version explains. All other" in result.stderr
    assert f"broken: {root.parent / 'broken.py'}:3: ImportError: broken.py raised at import: OSError" in result.stderr
    (table,) = (root / ".harness" / "scratch" / "ambient").glob("cpu-quick+models-*+selected/*")
    rows = (table / "cells.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [",failed,build,ImportError" in row for row in rows] == [True, False]
    assert "no such disk" in rows[0]
    assert ",not-applicable,load,NotApplicable,nothing to recite with" in rows[1]
    assert not (root / "results").exists()
    assert not list((root / ".harness" / "runs").iterdir()), "the run is closed"


def test_what_changed_while_a_run_lay_paused_is_no_doing_of_the_cell_that_it_was_timing(
    root: Path, tmp_path: Path
) -> None:
    plan = plan_of(root)
    attempt = Attempt(tmp_path / "attempt")
    attempt.begin(plan, identity(plan, plan.registry(), inside={"packages": {}, "python": ""}, lock=""), {})
    cell = plan.cells[0]
    attempt.started(cell)
    leave_waiting(attempt, cell)
    attempt.waits(cell)
    attempt.timing(cell)  # and killed there, by `kill -9`
    later = Change(package="six", path="six.py", what="changed", changed=time.time() + 60)

    made = execution._Execution(root, Task(plan=plan), attempt, plan.registry(), Observer(), fresh=False)
    assert made._changed([later]), "while it may be under way, the cell is suspected"
    assert (attempt.read() or {})["suspects"] == [cell.slug]

    leave_waiting(attempt, cell)
    attempt.pause("it was interrupted.")
    attempt.go_on()
    assert not made._changed([later])
    assert attempt.recorded(plan) == [], "and it is not said to have changed its environment"
    assert attempt.waiting_cells(plan) == [cell], "what waits is as it was before the change"


def test_what_waited_before_an_edit_is_removed_when_its_cells_begin_anew(root: Path, ambient: Path) -> None:
    plan = plan_of(root)
    first = execute(root, _task(root, ambient), Observer(), run="one")
    parts = (first.read() or {})["identity"]
    old, other = Attempt(first.folder.with_name("old")), Attempt(first.folder.with_name("other"))
    old.begin(plan, {**parts, "models": "as it was"}, {})
    other.begin(plan, {**parts, "plan": "of other cells"}, {})
    for each in (old, other):
        leave_waiting(each, plan.cells[0])
        each.pause("it was interrupted.")
    execute(root, _task(root, ambient), Observer(), run="two", restart=True)
    assert not old.has_waiting()
    assert other.waiting_cells(plan) == [plan.cells[0]]


def fail(attempt: Attempt, plan: Plan, cell: Cell) -> None:
    write_row(
        attempt,
        plan,
        plan.registry(),
        cell,
        outcome=Outcome.FAILED,
        stage=Stage.CONVERT,
        error_type="KeyError",
        error="lost",
    )


def test_a_run_goes_on_only_on_a_machine_like_the_one_that_it_began_on(root: Path, tmp_path: Path) -> None:
    plan = plan_of(root)
    attempt = Attempt(tmp_path / "attempt")
    parts = identity(plan, plan.registry(), inside={"packages": {}, "python": ""}, lock="")
    machine = {"cpu": "Xeon", "cores": 8, "memory_mb": 64000, "os": "Linux 6.1"}

    def taken_up(**changed: Any) -> list[str]:
        observer = Observer()
        made = execution._Execution(root, Task(plan=plan), attempt, plan.registry(), observer, fresh=False)
        made.take_up(parts, {"machine": {**machine, **changed}}, "", run="one", restart=False)
        fail(attempt, plan, plan.cells[0])
        attempt.pause("it was interrupted.")
        return observer.told

    assert taken_up() == ["begin small 2 {}"]
    assert taken_up(os="Linux 6.2")[0] == "going on with 1 cells that an interrupted run recorded"
    assert taken_up(cores=4) == [
        "small: beginning anew, since the machine differs (cores: 8 and 4)",
        "begin small 2 {}",
    ]


def test_cells_that_wait_are_told_of_when_a_run_goes_on(root: Path, tmp_path: Path) -> None:
    plan = plan_of(root)
    attempt = Attempt(tmp_path / "attempt")
    parts = identity(plan, plan.registry(), inside={"packages": {}, "python": ""}, lock="")
    attempt.begin(plan, parts, {})
    for cell in plan.cells:
        leave_waiting(attempt, cell)

    def taken_up() -> list[str]:
        attempt.pause("it was interrupted.")
        observer = Observer()
        made = execution._Execution(root, Task(plan=plan), attempt, plan.registry(), observer, fresh=False)
        made.take_up(parts, {}, "", run="one", restart=False)
        return observer.told

    assert taken_up() == ["going on with 2 cells that wait to be timed", "begin small 2 {} 2"]
    fail(attempt, plan, plan.cells[0])
    assert taken_up() == [
        "going on with 1 cells that an interrupted run recorded and 1 cells that wait to be timed",
        "begin small 2 {'failed': 1} 1",
    ]


def test_what_ran_while_the_environment_was_not_whole_is_taken_back(root: Path, tmp_path: Path) -> None:
    plan = plan_of(root)
    attempt = Attempt(tmp_path / "attempt")
    parts = identity(plan, plan.registry(), inside={"packages": {}, "python": ""}, lock="")
    attempt.begin(plan, parts, {})
    for cell in plan.cells:
        attempt.started(cell)
        fail(attempt, plan, cell)
        time.sleep(0.02)
    ((_, ended),) = attempt.spans()[plan.cells[0].model, plan.cells[0].strategy]
    place = root / ".harness" / "environments" / "small"
    place.mkdir(parents=True)
    lock = Lock(root / "matrices" / "locks" / "small.txt", "six==1.16.0\n")
    task = Task(plan=plan, combination=read(root, "small"), lock=lock)

    def left(*intervals: tuple[float, float | None]) -> int:
        (place / "changes.json").write_text(json.dumps(intervals), encoding="utf-8")
        made = execution._Execution(root, task, attempt, plan.registry(), Observer(), fresh=False)
        made._take_back_what_ran_unwhole()
        return len(attempt.recorded(plan))

    assert left((0.0, 1.0), (time.time() + 60, None)) == 2
    assert left((ended + 0.01, None)) == 1
    assert left((0.0, None)) == 0
