"""Runs from plan to table: in an ambient environment with a stand-in for torch, and without any environment."""

from __future__ import annotations

import json
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import cli
from harness.bench.errors import UsageError
from harness.bench.plan import Plan, Policy, expand
from harness.bench.registry import discover
from harness.bench.session import Output
from harness.bench.stages import Outcome, Stage
from harness.matrix.running import Ready, Refusal, digest, folder_of, run

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = ROOT / "tests" / "bench" / "stand_in"

MODEL = """
from harness.bench import Model, uniform


def build():
    import torch

    return torch.nn.Linear(8, 4)


MODEL = Model(
    summary="a linear layer",
    family="test",
    build=build,
    example=lambda: {"x": uniform((2, 8))},
    probes={"other": lambda: {"x": uniform((2, WIDTH), seed=1)}},
    dynamic={"x": {1: "width"}},
)
"""

STEP = """
from harness.bench import Artifact, Step


def run(context, source):
    path = context.folder / "thing"
    path.write_text("thing")
    return Artifact("thing", path)


STEP = Step(summary="", run=run, produces="thing")
"""

STRATEGY = """
from harness.bench import Strategy

STRATEGY = Strategy(summary="", steps=("leave-thing",), runtime="reciting", shapes="static")
"""

RUNTIME = """
from harness.bench import NotApplicable, Runtime


def load(artifact, device, threads, build):
    raise NotApplicable("nothing to recite with")


RUNTIME = Runtime(summary="", serves="thing", load=load, imports=())
"""


class Observer:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, combination: str, planned: int, done: Mapping[str, int]) -> None:
        self.told.append(f"begin {combination} {planned} {dict(done)}")

    def started(self, model: str, strategy: str) -> None:
        self.told.append(f"started {model} {strategy}")

    def ended(self, model: str, strategy: str, outcome: str, stage: str) -> None:
        self.told.append(f"ended {model} {strategy} {outcome} {stage}")

    def note(self, text: str) -> None:
        self.told.append(text)

    def busy(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture(scope="module")
def ambient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with all that the bench needs, and a stand-in for torch."""
    folder = tmp_path_factory.mktemp("ambient")
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "ambient.pth").write_text(f"{sysconfig.get_path('purelib')}\n{STAND_IN}\n{ROOT}\n", encoding="utf-8")
    return folder / "bin" / "python"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a user's two models and plugin folder beside it."""
    folder = tmp_path / "checkout"
    (folder / "matrices").mkdir(parents=True)
    (folder / "matrices" / "nightly.toml").write_text(
        'combinations = ["small"]\ndevices = ["cpu"]\n[policy]\nmeasure_s = 0.01\nthreads = 1\n', encoding="utf-8"
    )
    (folder / "matrices" / "small.in").write_text("# python: 3.11\nsix==1.16.0\n", encoding="utf-8")
    for name, width in (("good", "8"), ("wrong", "9")):
        (tmp_path / f"{name}.py").write_text(MODEL.replace("WIDTH", width), encoding="utf-8")
    for part, name, text in (
        ("steps", "leave_thing", STEP),
        ("strategies", "recite", STRATEGY),
        ("runtimes", "reciting", RUNTIME),
    ):
        (tmp_path / "plugins" / part).mkdir(parents=True)
        (tmp_path / "plugins" / part / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def _plan(root: Path, *models: str) -> Plan:
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


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(Outcome.UNRESOLVABLE, Stage.RESOLVE, "NoSolution", "No solution found: a needs b"),
        Refusal(Outcome.FAILED, Stage.INSTALL, "InstallError", "tox ended with exit code 1: " + "x" * 900),
    ],
    ids=lambda refusal: refusal.outcome.value,
)
def test_cells_whose_environment_could_not_be_had_are_recorded(root: Path, refusal: Refusal) -> None:
    plan, observer = _plan(root), Observer()
    table = run(root, Ready(plan, None, {"six": "1.16.0"}, refusal), observer)
    assert (table.run.complete, table.run.planned, table.run.packages) == (True, 2, {})
    for record in table.records:
        assert (record.outcome, record.stage, record.error_type) == (refusal.outcome, refusal.stage, refusal.error_type)
        assert record.error is not None
        assert len(record.error) <= 500
        assert record.error.startswith(refusal.reason[:20])
        assert record.fingerprint
    assert observer.told[0] == "begin small 2 {}"


def test_a_run_is_told_of_as_it_goes_and_an_interrupted_one_goes_on(root: Path, ambient: Path) -> None:
    plan, observer = _plan(root), Observer()
    table = run(root, Ready(plan, ambient, {}), observer)
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

    output = Output(folder_of(root, plan, ambient))
    output.record_of(plan.cells[0]).unlink()
    output.session.write_text(
        json.dumps({**json.loads(output.session.read_text(encoding="utf-8")), "ended": None}), encoding="utf-8"
    )
    again = Observer()
    resumed = run(root, Ready(plan, ambient, {}), again)
    assert resumed.run.complete
    assert resumed.run.started == table.run.started
    assert again.told[0] == "going on with 1 cells that an interrupted run recorded"
    assert [line.split()[0] for line in again.told[1:]] == ["begin", "started", "ended"]


def _order(observer: Observer) -> list[str]:
    return [line.split()[2] for line in observer.told if line.startswith("started")]


def _end(ends: tuple[str, str, str | None]) -> str:
    return f" {ends[0]} {ends[1]}"


def test_what_a_run_depends_on_is_in_its_digest(root: Path) -> None:
    plan, python = _plan(root), Path("/one/python")
    lock = root / "lock.txt"
    lock.write_text("six==1.16.0\n", encoding="utf-8")
    locked = replace(plan, lock=str(lock))
    found = [digest(plan, python), digest(plan, Path("/other/python")), digest(locked, python)]
    assert digest(locked, Path("/other/python")) == found[2]
    found.append(digest(replace(plan, policy=replace(plan.policy, launches=3)), python))
    lock.write_text("six==1.15.0\n", encoding="utf-8")
    found.append(digest(locked, python))
    for path in ("good.py", "plugins/steps/leave_thing.py", "plugins/runtimes/reciting.py"):
        with (root.parent / path).open("a", encoding="utf-8") as file:
            file.write("# more\n")
        found.append(digest(plan, python))
    assert len(set(found)) == len(found)


def test_an_environment_in_which_the_bench_does_not_start_is_told(root: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(UsageError, match=r"(?s)the bench did not start in small:.*No module named pytest"):
        run(root, Ready(_plan(root), tmp_path / "bare" / "bin" / "python", {}), Observer())


def _harness(root: Path, ambient: Path, *arguments: str | Path) -> Result:
    given = ["--root", root, "run", "--python", ambient, "--plugin-folder", root.parent / "plugins"]
    return CliRunner().invoke(cli.cli, [*map(str, given), *map(str, arguments)], prog_name="harness")


def test_a_probe_that_forward_rejects_is_told_and_no_table_is_written(root: Path, ambient: Path) -> None:
    result = _harness(root, ambient, "--models", root.parent / "wrong.py", "--strategies", "recite")
    assert result.exit_code == 2, result.output
    assert "wrong.py: probe 'other' is rejected by forward: ValueError" in result.stderr
    assert not list(root.rglob("cells.csv"))
    assert not list((root / ".harness").rglob("session.json"))


def test_a_model_file_that_raises_at_import_fails_at_build_and_the_rest_runs(root: Path, ambient: Path) -> None:
    (root.parent / "broken.py").write_text("raise OSError('no such disk')\nMODEL = None\n", encoding="utf-8")
    files = [argument for name in ("good", "broken") for argument in ("--models", root.parent / f"{name}.py")]
    result = _harness(root, ambient, *files, "--strategies", "recite")
    assert result.exit_code == 0, result.output
    (table,) = (root / ".harness" / "scratch" / "ambient" / "cpu-quick").iterdir()
    rows = (table / "cells.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [",failed,build,ImportError" in row for row in rows] == [True, False]
    assert "no such disk" in rows[0]
    assert ",not-applicable,load,NotApplicable,nothing to recite with" in rows[1]
    assert not (root / "results").exists()
