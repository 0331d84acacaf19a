"""`harness gate` by a `[gate]` of one's own, over the committed tables of torch 2.0 and 2.1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from harness.attempts.tasks import Task
from harness.bench.plan import Plan
from harness.cli import cli
from harness.cli.outlets import parse_outlets
from harness.cli.policies import gate_policy
from harness.cli.sides import Sides, judged

ROOT = Path(__file__).resolve().parents[1]
HEAD = 'combinations = ["torch2.0"]\n'
ALLOWING = '[[gate.rules]]\nmodels = ["embedding-new-zeros"]\nignore = ["newly-failing"]\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with the committed tables of two combinations."""
    for name in ("torch2.0", "torch2.1"):
        shutil.copytree(ROOT / "results" / name / "cpu-quick", tmp_path / "results" / name / "cpu-quick")
    (tmp_path / "matrices").mkdir()
    return tmp_path


def gate(root: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--root", str(root), "gate", "torch2.0", "torch2.1", *map(str, arguments)])


def test_a_gate_without_a_policy_is_as_it_was(root: Path) -> None:
    told = gate(root)
    assert told.exit_code == 1, told.output
    assert "do not merge: 2 cells newly failing" in told.stdout
    assert "[gate]" not in told.stdout
    (root / "matrices" / "nightly.toml").write_text(HEAD, encoding="utf-8")
    assert gate(root).stdout == told.stdout


@pytest.mark.parametrize("as_markdown", [False, True])
def test_what_is_worse_and_allowed_is_shown(root: Path, as_markdown: bool) -> None:
    (root / "matrices" / "nightly.toml").write_text(HEAD + ALLOWING, encoding="utf-8")
    told = gate(root, *(["--markdown"] if as_markdown else []))
    assert told.exit_code == 0, told.output
    text = " ".join(told.stdout.replace("`", "").replace("\\", "").split())
    assert "erge: nothing is worse among 70 cells but what [gate] allows (2 cells newly failing)" in text
    assert (
        "Worse, and allowed by [gate]: newly failing embedding-new-zeros/onnx-torchscript, "
        "embedding-new-zeros/onnx-torchscript:16." in text
    )
    assert "Judged by [gate] of nightly.toml, which differs from the default: for models embedding-new-zeros" in text
    assert "passed → failed at load** (newly failing, allowed by [gate])" in text or (
        "passed -> failed at load (2 cells), allowed by [gate]" in text
    )
    assert "newly-failing (2 cells)" in text or "What breaks: 1 cause, 2 cells" in text
    assert "nothing, since whatever worked in the base and is not allowed to break by [gate] works" in text


def test_a_matrix_file_is_named_for_a_gate_of_tables(root: Path) -> None:
    path = root / "lenient.toml"
    path.write_text(HEAD + ALLOWING, encoding="utf-8")
    assert gate(root).exit_code == 1
    assert gate(root, "--matrix", path).exit_code == 0
    strict = root / "strict.toml"
    strict.write_text(HEAD + '[gate]\nfail = ["fixed"]\n', encoding="utf-8")
    told = gate(root, "--matrix", strict)
    assert told.exit_code == 1
    assert "do not merge: 1 cell fixed" in told.stdout
    assert "failed at convert -> passed, fails by [gate]" in told.stdout


def test_a_policy_that_cannot_be_read_is_wrong_use(root: Path) -> None:
    (root / "matrices" / "nightly.toml").write_text(HEAD + "[gate]\nfials = []\n", encoding="utf-8")
    told = gate(root)
    assert (told.exit_code, told.stdout) == (2, "")
    assert "nightly.toml: 'gate.fials': no such key. Did you mean 'fail'?" in told.stderr
    assert gate(root, "--matrix", root / "none.toml").exit_code == 2


def test_nobody_is_sought_to_blame_for_what_is_allowed(root: Path) -> None:
    """Of sides that were run, too; where all that is worse is allowed, no trial is begun."""
    path = root / "lenient.toml"
    path.write_text(HEAD + ALLOWING, encoding="utf-8")
    folders = [max((root / "results" / name / "cpu-quick").iterdir()) for name in ("torch2.0", "torch2.1")]
    plans = [Plan(combination=each, extension="", device="cpu", tier="quick", cells=()) for each in ("old", "new")]
    base, candidate = (Task(plan=plan) for plan in plans)
    sides = Sides(tasks=(base, candidate), folders=(folders[0], folders[1]))

    @click.command()
    @click.pass_context
    def judging(context: click.Context) -> int:
        context.obj = root
        return judged(
            context,
            sides,
            policy=gate_policy(root, path),
            results=None,
            wanted=parse_outlets((), as_json=True),
            budget_s=60,
            duel_s=None,
        )

    told = CliRunner().invoke(judging, standalone_mode=False)
    assert told.exception is None, told.output
    assert told.return_value == 0
    said = json.loads(told.stdout)
    assert {each["by_policy"] for each in said["cells"] if each["category"] == "newly-failing"} == {"allowed by [gate]"}
    assert "blames" not in said
    assert not list(folders[1].glob("bump.json"))
