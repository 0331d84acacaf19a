"""`harness bump` as far as nothing is installed: what it refuses, and candidates without a solution."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from harness.bump.candidate import foundation, obstacles, parse_moves, write_candidate
from harness.cli import cli
from harness.matrix.requirements import keeping
from harness.matrix.requirements.closing import Wish
from harness.report.obstacles import told_of
from harness.report.outlets.document import schema
from tests.bump.conftest import repository

__all__ = ["repository"]

EVERYTHING = Wish(modules=frozenset(), everything=True)


@pytest.fixture
def root(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository, as the current folder."""
    monkeypatch.chdir(repository)
    return repository


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["now"], "Missing argument 'MOVE...'"),
        (["noww", "torch==1.1"], "unknown combination 'noww'. Did you mean 'now'? BASE may be a file of requirements"),
        (["gone.txt", "torch==1.1"], "gone.txt: no such file of requirements"),
        (["now", "toch==1.1"], "unknown package of now 'toch'. Did you mean 'torch'?"),
        (["now", "torch==9"], "torch==9 is asked for, and the package index does not have it"),
        (["now", "torch==1.0"], "nothing moves: now has torch 1.0 already"),
        (["now", "torch"], "nothing moves: now has torch 1.0 already, and its other pins allow no other version"),
        (["now", "torch==1.1", "--extensions"], "--extensions: a candidate has none"),
        (["now", "torch==1.1", "--json", "--markdown"], "two forms of one thing"),
        (["now", "torch==1.1", "--all"], "--all: only go with a file of requirements"),
        (["now", "torch==1.1", "--blame-budget", "0"], "0.0 is not in the range x>0"),
    ],
)
@pytest.mark.usefixtures("root")
def test_wrong_use_is_told(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(cli, ["bump", *arguments])
    assert done.exit_code == 2, done.output
    assert told in " ".join(done.output.split())


def test_a_candidate_without_a_solution_names_the_constraint_and_what_would_do(root: Path) -> None:
    done = CliRunner().invoke(cli, ["bump", "now", "exporter==2.0"])
    assert done.exit_code == 1, done.output
    told = done.output
    assert "do not merge: now with exporter==2.0 has no solution." in told
    assert "exporter" in told.partition("cause:")[2]
    assert "proto>=4" in told
    assert "runtime==1.0 stands in the way: without that pin it resolves, with runtime 2.0." in told
    assert "Next: the same command with 'runtime==2.0' added" in told
    assert len(told.splitlines()) < 20, "it fits a screen"
    assert sorted(path.name for path in (root / "matrices").glob("*.in")) == ["now.in"]


def test_the_same_as_json(root: Path) -> None:
    done = CliRunner().invoke(cli, ["bump", "now", "exporter==2.0", "--json"])
    assert done.exit_code == 1, done.output
    told = json.loads(done.stdout)
    assert told["stands_in_the_way"] == [
        {"pins": {"runtime": "==1.0"}, "constraints": [], "instead": {"runtime": "2.0"}}
    ]
    assert (told["decision"], told["exit_code"]) == ("do not merge", 1)
    jsonschema.validate(told, json.loads(schema()))
    assert "proto>=4" in told["reason"]
    assert root.joinpath(".harness", "candidates").is_dir()


@pytest.mark.usefixtures("root")
def test_the_same_as_markdown() -> None:
    done = CliRunner().invoke(cli, ["bump", "now", "exporter==2.0", "--markdown"])
    assert done.exit_code == 1, done.output
    heading, in_the_way, reason, step = done.stdout.split("\n\n")
    marker = "<!-- conversion-harness: now no solution -->"
    assert heading == f"{marker}\n### Do not merge: now with exporter==2.0 has no solution"
    assert reason.startswith("```text\n")
    assert reason.endswith("\n```")
    assert "proto>=4" in reason
    assert in_the_way == "- runtime==1.0 stands in the way: without that pin it resolves, with runtime 2.0."
    assert step == "Next: the same command with 'runtime==2.0' added moves what stands in the way as well.\n"


@pytest.mark.parametrize(
    ("lines", "told"),
    [("proto<4\n", "proto<4 stands"), ("-c bounds.txt\n", "the constraint proto<4 stands")],
    ids=["range", "constraint"],
)
def test_a_range_or_a_constraint_that_stands_in_the_way_is_named(root: Path, lines: str, told: str) -> None:
    (root / "bounds.txt").write_text("proto<4\n", encoding="utf-8")
    text = f"# python: 3.11\n--no-index\n-f wheels\nexporter==1.0\n{lines}"
    (root / "own.txt").write_text(text, encoding="utf-8")
    ground = foundation(root, keeping.take(root, "own.txt", EVERYTHING, note=print).name)
    asked = parse_moves(["exporter==2.0"], ground.side)
    (found,) = obstacles(root, ground, asked)
    assert told_of(found) == f"{told} in the way: without that line it resolves, with proto 4.0."
    # What is said to be added does it.
    again = parse_moves(["exporter==2.0", "proto==4.0"], ground.side)
    file = write_candidate(root, ground, again)
    assert not keeping.take(root, str(file), EVERYTHING, note=print).reason
