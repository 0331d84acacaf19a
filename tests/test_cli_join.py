"""A whole night in small: split by combination, joined, and told in an issue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness import __version__
from harness.cli import cli
from harness.cli.joining import awaited_by
from harness.matrix.expecting import FILE
from harness.tables.joining import Awaited
from harness.tables.writing import write_table
from tests.tables.samples import failed, passed, table

MATRIX = 'combinations = ["torch2.0", "torch2.1"]\ndevices = ["cpu"]\n'
CANARY = ("embedding-new-zeros", "onnx-torchscript")
EXPECTED = """
[[expect]]
cells = ["torch2.1/embedding-new-zeros/onnx-torchscript"]
outcome = "failed"
reason = "as upstream has it"
expires = 2026-02-01
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Awaited]:
    """What a night is to have, as this checkout plans it."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "matrices").mkdir()
    (folder / "matrices" / "nightly.toml").write_text(MATRIX, encoding="utf-8")
    return {each.combination: each for each in awaited_by(folder, None)}


@pytest.fixture
def root(tmp_path: Path, asked: Mapping[str, Awaited]) -> Path:
    """A checkout with the tables of the night before."""
    folder = tmp_path / "checkout"
    (folder / "matrices").mkdir(parents=True)
    (folder / "matrices" / "nightly.toml").write_text(MATRIX, encoding="utf-8")
    for each in asked.values():
        job(folder / "results", each, day=1)
    return folder


def job(folder: Path, asked: Awaited, *, day: int = 2, broken: tuple[tuple[str, str], ...] = (CANARY,)) -> Path:
    """The table that a job of a night makes: every cell passes but those that are `broken`."""
    records = []
    for (model, strategy), (code, route) in asked.cells.items():
        digests: dict[str, Any] = {"model_digest": code, "strategy_digest": route}
        if (model, strategy) in broken:
            error = "<img src=x> @octocat see #1"
            records.append(failed(model, strategy, error=error, fingerprint="16d3404c9d72", **digests))
        else:
            records.append(passed(model, strategy, **digests))
    started = f"2026-02-{day:02}T03:17:00Z"
    made = table(
        *records,
        combination=asked.combination,
        started=started,
        lock_digest=asked.locks.own,
        harness_version=__version__,
    )
    return write_table(folder, made)


def harness(root: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--root", str(root), *map(str, arguments)], prog_name="harness")


def joined(root: Path, *uploads: Path) -> tuple[Result, str]:
    """What the command printed, and the text of the issue."""
    issue = root.parent / "issue.md"
    told = harness(root, "join", *uploads, "--results", root / "results", "--issue", issue)
    assert "Traceback" not in told.output
    return told, issue.read_text(encoding="utf-8")


def test_a_night_is_split_by_what_the_matrix_names(root: Path) -> None:
    told = harness(root, "plan", "--combinations", "--json")
    assert json.loads(told.stdout) == ["torch2.0", "torch2.1"]
    assert told.stdout.count("\n") == 1  # an output of a job is one line
    assert harness(root, "plan", "--combinations").stdout.split() == ["torch2.0", "torch2.1"]


def test_a_night_like_the_last_opens_no_issue(root: Path, asked: Mapping[str, Awaited], tmp_path: Path) -> None:
    uploads = [tmp_path / name for name in asked]
    made = [job(upload, each) for upload, each in zip(uploads, asked.values(), strict=True)]
    told, issue = joined(root, tmp_path / "torch2.0", tmp_path / "torch2.1")
    assert (told.exit_code, issue) == (0, ""), told.output
    assert told.stdout.startswith("2 tables, nothing changed\n")
    for upload, folder in zip(uploads, made, strict=True):
        for file in folder.iterdir():
            assert (root / "results" / file.relative_to(upload)).read_bytes() == file.read_bytes()
    again, issue = joined(root, *uploads)
    assert (again.exit_code, issue) == (0, "")
    assert again.stdout.count("(there already)") == 2


def test_what_changed_is_an_issue_that_harms_nobody(root: Path, asked: Mapping[str, Awaited], tmp_path: Path) -> None:
    job(tmp_path / "a", asked["torch2.0"], broken=())
    job(tmp_path / "b", asked["torch2.1"], broken=(CANARY, ("lstm", "native")))
    told, issue = joined(root, tmp_path / "a", tmp_path / "b")
    assert told.exit_code == 0
    assert told.stdout.startswith("2 cells changed in 2 tables\n")
    assert issue.startswith("### 2026-02-02: 2 cells changed in 2 tables\n")
    assert "| fixed | `embedding-new-zeros/onnx-torchscript` | failed at load → passed |  |" in issue
    assert "| newly failing | `lstm/native` | passed → failed at load |" in issue
    assert "<img" not in issue.replace("`<img", "")
    assert "`@octocat`" in issue
    again, same = joined(root, tmp_path / "a", tmp_path / "b")
    assert (again.exit_code, same) == (0, issue)


def test_a_job_that_failed_is_told_and_the_other_taken(
    root: Path, asked: Mapping[str, Awaited], tmp_path: Path
) -> None:
    made = job(tmp_path / "b", asked["torch2.1"])
    (tmp_path / "a").mkdir()
    told, issue = joined(root, tmp_path / "a", tmp_path / "b")
    assert told.exit_code == 3
    assert "no table of torch2.0 on cpu, tier quick" in issue
    assert (root / "results" / "torch2.1" / "cpu-quick" / made.name).is_dir()
    (made / "run.json").write_text("{}", encoding="utf-8")
    told, issue = joined(root, tmp_path / "b")
    assert told.exit_code == 3
    assert "#### Refused" in issue


def test_an_expectation_that_expired_is_found_in_the_night_after_and_not_again(
    root: Path, asked: Mapping[str, Awaited], tmp_path: Path
) -> None:
    (root / FILE).write_text(EXPECTED + EXPECTED.replace("torch2.1", "torch2.0").replace("02-01", "03-01"))
    for day, findings in ((2, 1), (3, 0)):
        for name, each in asked.items():
            job(tmp_path / f"{day}-{name}", each, day=day)
        told, issue = joined(root, *(tmp_path / f"{day}-{name}" for name in asked))
        assert told.exit_code == 0, told.output
        assert issue.count("Broken, and not expected any more") == findings
        assert bool(issue) == bool(findings)


@pytest.mark.parametrize(
    ("matrix", "told"),
    [
        ('combinations = ["torch2.1"]\nstrategies = ["native"]\n', "the matrix is of selected cells"),
        ('combinations = ["torch21"]\n', "unknown combination 'torch21'"),
    ],
)
def test_a_matrix_that_nothing_can_be_taken_for_is_told(root: Path, matrix: str, told: str) -> None:
    (root / "other.toml").write_text(matrix, encoding="utf-8")
    before = sorted(root.rglob("*"))
    said = harness(root, "join", root, "--matrix", root / "other.toml")
    assert said.exit_code == 2
    assert told in said.stderr
    assert sorted(root.rglob("*")) == before


def test_an_issue_that_cannot_be_written_is_refused_before_a_table_is_taken(
    root: Path, asked: Mapping[str, Awaited], tmp_path: Path
) -> None:
    for name, each in asked.items():
        job(tmp_path / name, each)
    (tmp_path / "file").touch()
    before = sorted((root / "results").rglob("*"))
    uploads = [tmp_path / name for name in asked]
    told = harness(root, "join", *uploads, "--results", root / "results", "--issue", tmp_path / "file" / "issue.md")
    assert told.exit_code == 2, told.output
    assert "--issue" in told.output
    assert sorted((root / "results").rglob("*")) == before
