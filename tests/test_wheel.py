"""A wheel, installed into an environment of its own, in an empty folder: nothing of the checkout is needed."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.bench import places
from harness.bench.environment import description
from harness.bench.identity import identity
from harness.bench.plan import Plan
from harness.bench.registry import discover
from harness.matrix.starting.source import UNKNOWN
from harness.tables.writing import write_table
from tests.conftest import without_checkout
from tests.tables.samples import passed, table

ROOT = Path(__file__).resolve().parents[1]

Call = Callable[..., subprocess.CompletedProcess[str]]

DIGESTS = """
import json
from harness.bench import places
from harness.bench.identity import identity
from harness.bench.plan import Plan
from harness.bench.registry import discover

found = discover()
plan = Plan(combination="x", device="cpu", tier="quick", cells=())
parts = identity(plan, found, inside={"packages": {}, "python": ""}, lock="")
print(json.dumps([found.digests(), parts["bench"], parts["routes"], str(places.CODE)]))
"""


@pytest.fixture
def harness(installed: Path, tmp_path: Path) -> Call:
    """The command that was installed, in an empty folder: `harness("plan", "torch2.1")`."""

    def call(*arguments: str | Path, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(installed.with_name("harness")), *map(str, arguments)],
            cwd=cwd,
            env=without_checkout(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return call


def test_a_wheel_has_every_file_that_git_has_of_its_parts_and_each_once(wheel: Path) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "harness", "model_zoo", "matrices"]
    known = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    inside = ("harness/bench/", "harness/steps/", "harness/strategies/", "harness/runtimes/", "model_zoo/", "matrices/")
    wanted = [
        f"harness/inside/{name}" if name.startswith(inside) else name for name in known if (ROOT / name).is_file()
    ]
    there = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert sorted(there) == sorted([*wanted, "harness/inside/harness/__init__.py"])


def test_what_runs_inside_is_the_same_and_sees_nothing_of_the_harnesss_own_environment(installed: Path) -> None:
    done = subprocess.run(
        [str(installed), "-c", DIGESTS], cwd="/", env=without_checkout(), capture_output=True, check=True
    )
    digests, bench, routes, code = json.loads(done.stdout)
    found = discover()
    assert digests == found.digests()
    plan = Plan(combination="x", device="cpu", tier="quick", cells=())
    here = identity(plan, found, inside={**description(), "packages": {}, "python": ""}, lock="")
    assert (bench, routes) == (here["bench"], here["routes"])
    # The folder that is on the path of every child: what else is installed beside the harness is not in it.
    assert sorted(path.name for path in Path(code).iterdir()) == ["harness", "matrices", "model_zoo"]
    assert Path(code) != places.CODE


def test_the_zoo_and_the_combinations_are_there(harness: Call, tmp_path: Path) -> None:
    done = harness("plan", "torch2.1", "--device=cpu")
    assert done.returncode == 0, done.stderr
    assert "torch2.1/resnet18/onnx-torchscript:16" in done.stdout.splitlines()
    assert "name a combination (torch2.0, torch2.1, torch2.9)" in harness("plan").stderr
    assert not list(tmp_path.iterdir()), "a plan writes nothing"


def test_a_model_of_ones_own_is_planned_where_it_lies(harness: Call, tmp_path: Path) -> None:
    assert harness("new-model", "mine").returncode == 0
    done = harness("plan", "torch2.1", "--models", "models", "--device=cpu", "--json")
    assert done.returncode == 0, done.stderr
    assert {cell["model"] for cell in json.loads(done.stdout)} == {"mine"}
    mixed = harness("plan", "torch2.1", "--models=models/mine.py", "--models=zoo:lstm", "--strategies=native")
    assert mixed.stdout.split() == ["torch2.1/mine/native", "torch2.1/lstm/native"]
    assert harness("plan", "torch2.1", "--models=torchvision:resnet18", "--strategies=native").returncode == 0
    assert (tmp_path / ".harness" / ".gitignore").read_text() == "*\n", "what is written there is nobody's to commit"


def test_a_repository_is_laid_out_and_read(harness: Call, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("torch==2.1.0\n", encoding="utf-8")
    done = harness("init")
    assert done.returncode == 0, done.stderr
    assert "matrices/current.in: torch as requirements.txt has them" in done.stdout
    workflow = (tmp_path / ".github/workflows/conversions.yml").read_text(encoding="utf-8")
    assert f'HARNESS: "{UNKNOWN}"' in workflow, "GitHub cannot have a file of this machine"
    assert "put the repository that has the harness, and a commit of it, in the place of OWNER" in done.stdout
    told = harness("run", "current", "--models=example.py", cwd=tmp_path / "models").stderr
    assert "current has no lock. Run `harness lock current`." in told


def test_tables_are_kept_where_they_are_asked_for(harness: Call, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_table(tmp_path / "kept", table(passed("mine", "native"), combination=name, models="models/"))
    (tmp_path / "models").mkdir()
    done = harness("compare", "one", "two", "--models", "models", "--results", "kept")
    assert done.returncode == 0, done.stderr
    assert "one: cpu, tier quick, models models/, 1 of 1 cell" in done.stdout
    elsewhere = harness("--root", "..", "show", "one", "--models=.", "--results=../kept", cwd=tmp_path / "models")
    assert elsewhere.returncode == 0, elsewhere.stderr
    bare = harness("show", "one", "--results", "kept")
    assert bare.returncode == 2
    assert "or name by --models the models of your own that it is of" in bare.stderr


def test_a_page_is_written_with_all_that_is_in_it(harness: Call, tmp_path: Path) -> None:
    write_table(tmp_path / "results", table(passed("mine", "native"), combination="one"))
    done = harness("report", "--out", "page.html")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(part in text for part in ("leeoniya/uPlot", "color-scheme", "showGrid", '"mine"'))
