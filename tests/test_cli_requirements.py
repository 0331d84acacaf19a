"""What `harness run` and `harness gate` say of requirements, and what is added to them when a module is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.attempts.completing import completed
from harness.attempts.tasks import Task
from harness.bench.environment import pins_of
from harness.bench.plan import Plan
from harness.cli import cli
from harness.matrix.combination import read
from harness.matrix.locks import BENCH_REQUIREMENTS, read_lock
from harness.matrix.requirements.closing import Wish
from harness.matrix.requirements.keeping import take
from tests.matrix.wheels import wheel


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a file of requirements, whose packages are in a folder of wheels."""
    (tmp_path / BENCH_REQUIREMENTS).parent.mkdir(parents=True)
    (tmp_path / BENCH_REQUIREMENTS).write_text("einops\n", encoding="utf-8")
    for name in ("torch", "einops", "pandas"):
        wheel(tmp_path / "wheels", name, "1.0")
    (tmp_path / "reqs.txt").write_text("--no-index\n-f wheels\ntorch\neinops\npandas\n", encoding="utf-8")
    (tmp_path / "none.txt").write_text("--no-index\n-f wheels\npandas\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("gate", "a verdict needs two sides: BASE and CANDIDATE, or --base-requirements FILE and"),
        ("gate a --candidate-requirements reqs.txt", "a verdict needs two sides"),
        ("gate a b --base-requirements reqs.txt --candidate-requirements reqs.txt", "requirements stand in the place"),
        (
            "gate --base-requirements reqs.txt --candidate-requirements reqs.txt --python-version 3.11 --device cpu",
            "both are the same requirements, reqs-",
        ),
        ("gate ./a ./b --strategies native --all", "--strategies, --all: only goes with --base-requirements and"),
        (
            "gate ./a ./b --python-version 3.7 --input x",
            "--input, --python-version: only goes with --base-requirements",
        ),
        ("run torch2.1 --python-version 3.12 --all", "--python-version, --all: only goes with --requirements"),
        (
            "run --requirements none.txt --python-version 3.11 --device cpu",
            "none.txt: torch is not among what it comes",
        ),
        ("run --python /usr/bin/python3 --requirements reqs.txt", "--python runs the environment as it is; leave out"),
        ("run --requirements gone.txt", "gone.txt: no such file of requirements"),
        ("run --requirements reqs.txt --python-version 11", "--python-version '11': write it like 3.11"),
    ],
)
@pytest.mark.usefixtures("root")
def test_wrong_use_is_told(arguments: str, told: str) -> None:
    done = CliRunner().invoke(cli, arguments.split())
    assert done.exit_code == 2, done.output
    assert told in done.output


def test_a_missing_module_is_added_to_given_requirements_where_they_have_it(root: Path) -> None:
    notes: list[str] = []
    wish = Wish(modules=frozenset({"torch"}))
    name = take(root, "reqs.txt", wish, python="3.11", note=notes.append).name
    combination = read(root, name)
    lock = read_lock(root, combination)
    assert "pandas" not in pins_of(lock.text)
    plan = Plan(combination=name, device="cpu", tier="quick", cells=(), lock=str(lock.path))
    job = [Task(plan=plan, combination=combination, lock=lock)]
    assert completed(root, job, ["No module named 'torch'"], note=notes.append) is None
    more = completed(root, job, ["ModuleNotFoundError: No module named 'pandas.core'"], note=notes.append)
    assert more is not None
    assert more[0].lock is not None
    assert "pandas" in pins_of(more[0].lock.text)
    assert f"{name}: pandas turned out to be needed: adding what the requirements name for it" in notes


def test_nothing_is_added_to_requirements_that_were_edited_meanwhile(root: Path) -> None:
    notes: list[str] = []
    name = take(root, "reqs.txt", Wish(modules=frozenset({"torch"})), python="3.11", note=notes.append).name
    combination = read(root, name)
    lock = read_lock(root, combination)
    job = [Task(plan=Plan(combination=name, device="cpu", tier="quick", cells=(), lock=str(lock.path)), lock=lock)]
    with (root / "reqs.txt").open("a", encoding="utf-8") as file:
        file.write("# another one\n")
    assert completed(root, job, ["No module named 'pandas'"], note=notes.append) is None
    assert re.search(rf"{name}: its files were edited while the cells ran, and are reqs-\w+ now", notes[-1])
    assert read_lock(root, combination).text == lock.text


def test_given_requirements_are_locked_anew_by_their_name(root: Path) -> None:
    name = take(root, "reqs.txt", Wish(modules=frozenset({"torch"})), python="3.11", note=print).name
    wheel(root / "wheels", "torch", "2.0")
    assert CliRunner().invoke(cli, ["lock", name]).exit_code == 0
    assert pins_of(read_lock(root, read(root, name)).text)["torch"] == "1.0"
    done = CliRunner().invoke(cli, ["lock", name, "--upgrade"])
    assert done.exit_code == 0, done.output
    assert f"{name}: locked in .harness/environments/{name}/lock.txt" in done.output
    assert pins_of(read_lock(root, read(root, name)).text)["torch"] == "2.0"
