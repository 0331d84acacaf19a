"""The bench alone, as pytest in whatever environment is active: its table, its exit codes, and bugs of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.attempts.settling import table_of
from harness.bench.attempt import Attempt, State
from tests.bench.linear import ROOT, add_model, add_strategy, importable, write

STRATEGIES = {
    "good": "facts = {'opset': 16}",
    "static": "pass",
    "off": "weight = weight * 1.01",
    "impossible": "raise NotApplicable('needs x 2.5')",
}
"""What the step of each does."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's file, and a plugin folder with a step and a strategy for each."""
    made = tmp_path_factory.mktemp("alone")
    add_model(made)
    for name, body in STRATEGIES.items():
        add_strategy(made, name, body)
    return made


@pytest.fixture(scope="module", autouse=True)
def _path(folder: Path) -> Iterator[None]:
    with importable(folder / "modules"):
        yield


def _pytest(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-c", "harness/bench/pytest.ini", "-p", "harness.bench"]
    command += ["--models", str(folder / "linear.py"), "--plugin-folder", str(folder / "plugins")]
    command += ["--measure-s=0.01", "--timeout-s=20", "--device=cpu", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_bench_alone_leaves_a_table_and_resumes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    strategies = [f"--strategies={name}" for name in ("good", "off", "impossible")]
    done = _pytest(folder, *strategies, "--out", out, "-x")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "mismatched at match: output: values differ" in done.stdout
    done = _pytest(folder, *strategies, "--out", out, "--resume")
    assert done.returncode in (0, 5), done.stdout + done.stderr
    assert Attempt(out).state is State.ENDED
    table = table_of([Attempt(out)], pins={})
    assert (table.run.complete, table.run.selected, table.run.combination) == (True, True, "ambient")
    outcomes = {record.strategy: record.outcome.value for record in table.records}
    assert outcomes == {"good": "passed", "off": "mismatched", "impossible": "not-applicable"}
    events = [json.loads(line) for line in (out / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [(event["strategy"], event["event"]) for event in events]
    # The first run stopped at what is off, before anything was timed; nothing is converted twice.
    assert [each for each in told if each[0] == "good"] == [
        ("good", what) for what in ("started", "waiting", "timing", "ended")
    ]
    assert told.index(("off", "ended")) < told.index(("good", "timing"))
    assert told.count(("impossible", "ended")) == told.count(("off", "started")) == 1
    assert not any(Attempt(out).waiting.iterdir())


BREAKING = """
import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    from harness.bench.cell import Cells

    def broken(whole, phase):
        def call(cells, cell):
            if cell.strategy == f"breaks-{phase.replace('_', '-')}":
                raise LookupError(f"a bug in {phase}")
            return whole(cells, cell)

        return call

    for phase in ("run", "time", "bytes_waiting"):
        setattr(Cells, phase, broken(getattr(Cells, phase), phase))
"""


def _broken(folder: Path, out: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """The bench with a bug where its cell comes to what its strategy is named by."""
    write(folder / "modules" / "breaking_the_bench.py", BREAKING)
    for name in names:
        add_strategy(folder, name, "pass")
    strategies = [f"--strategies={name}" for name in ("good", *names, "static")]
    return _pytest(folder, *strategies, "--out", out, "-p", "breaking_the_bench")


def test_a_bug_of_the_bench_costs_the_cell_that_it_met_in_either_phase(folder: Path, tmp_path: Path) -> None:
    done = _broken(folder, tmp_path / "out", "breaks-run", "breaks-time")
    attempt = Attempt(tmp_path / "out")
    assert done.returncode == 3, done.stdout + done.stderr
    assert sorted(path.stem for path in attempt.records.iterdir()) == ["linear--good", "linear--static"]
    assert "LookupError: a bug in run" in done.stdout
    assert "LookupError: a bug in time" in done.stdout
    stated = attempt.read() or {}
    told = "2 cells have no record, ambient/linear/breaks-run among them: the bench itself broke there."
    assert (stated["state"], stated["cause"]) == ("paused", told)


def test_no_cell_is_named_where_the_bench_broke_beside_them(folder: Path, tmp_path: Path) -> None:
    done = _broken(folder, tmp_path / "out", "breaks-bytes-waiting")
    assert done.returncode == 3, done.stdout + done.stderr
    stated = Attempt(tmp_path / "out").read() or {}
    assert (stated["state"], stated["cause"]) == ("paused", "3 cells have no record: the bench itself broke.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--strategies=godo"], "unknown strategy 'godo'. Did you mean 'good'?"),
        (["--lock=nothing.txt"], "--lock nothing.txt: no such file"),
        (["--launches=-1"], "launches is -1, and must not be below 0"),
    ],
)
def test_wrong_use_of_the_bench_alone_is_told(folder: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    done = _pytest(folder, *arguments, "--out", tmp_path / "out")
    assert done.returncode == 4, done.stdout + done.stderr
    assert told in done.stderr
    assert not (tmp_path / "out").exists()
