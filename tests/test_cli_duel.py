"""`harness duel`: what is refused before anything is installed, and which cells are meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import cli
from harness.bench.errors import NoEvidenceError, UsageError
from harness.bench.plan import Cell, Plan
from harness.bench.stages import Outcome, Stage
from harness.cli.duelling import _combination, _named, _of_these
from harness.matrix import combination as combinations
from harness.matrix.locks import read_lock
from harness.matrix.selection import Selection
from harness.tables.consistency import lock_digest
from harness.tables.writing import write_table
from tests.tables.samples import failed, passed, table

ROOT = Path(__file__).resolve().parents[1]


def _duel(*arguments: str, root: Path = ROOT) -> Result:
    return CliRunner().invoke(cli.cli, ["--root", str(root), "duel", *arguments], prog_name="harness")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["torch2.0", "torch2.l"], "unknown combination 'torch2.l'. Did you mean 'torch2.9'?"),
        (["torch2.0", "torch2.1", "lstm/onnx-torchskript"], "unknown cell 'lstm/onnx-torchskript'. Did you mean"),
        (["torch2.0", "torch2.1", "--budget", "0"], "--budget is 0, and must be above 0."),
        (["torch2.0", "torch2.1", "--within", "-5"], "--within is -5, and must be above 0."),
        (["torch2.0", "torch2.1", "--limit", "nan"], "--limit is nan, and must be above 0."),
    ],
)
def test_wrong_use_is_refused_before_anything_is_installed(arguments: list[str], told: str) -> None:
    result = _duel(*arguments)
    assert (result.exit_code, told in result.output) == (2, True), result.output


LOCK = "# uv pip compile --python-version 3.11 --generate-hashes\nsix==1.16.0 \\\n    --hash=sha256:00\n"


def test_a_table_of_another_lock_than_its_combination_has_stands_for_its_own(tmp_path: Path) -> None:
    made = table(passed("mlp", "native"))
    run = replace(made.run, lock_digest=lock_digest(LOCK), python="3.11.7")
    folder = write_table(tmp_path / "results", replace(made, run=run, locks={"": LOCK}))
    name = _combination(tmp_path, str(folder), print)
    assert name == f"{run.combination}-{run.lock_digest[:8]}"
    combination = combinations.read(tmp_path, name)
    assert combination.python == "3.11"
    lock = read_lock(tmp_path, combination)
    assert (lock.text, lock.digest) == (LOCK, run.lock_digest)


@pytest.mark.parametrize("digest", ["", "90a2d8f8d1f0a0c4"])
def test_a_table_without_a_locks_text_cannot_be_had_again(tmp_path: Path, digest: str) -> None:
    made = table(passed("mlp", "native"))
    folder = write_table(tmp_path, replace(made, run=replace(made.run, lock_digest=digest), locks={}))
    result = _duel(str(folder), "torch2.1")
    assert result.exit_code == 3
    assert "keeps no lock of an environment that could be had again" in result.output


PLAN = Plan(
    combination="torch2.0",
    device="cpu",
    tier="quick",
    cells=tuple(
        Cell("torch2.0", model, strategy, "cpu") for model in ("mlp", "cnn") for strategy in ("native", "onnx-dynamo")
    ),
)


@pytest.mark.parametrize(
    ("patterns", "meant"),
    [
        ([], 4),
        (["mlp/native"], 1),
        (["*/onnx-*"], 2),
        (["torch2.0/cnn/*"], 2),
        (["mlp/native", "cnn/*"], 3),
    ],
)
def test_cells_are_meant_by_their_names_with_or_without_the_combination(patterns: list[str], meant: int) -> None:
    assert len(_named([PLAN], patterns)) == meant


def test_a_pattern_of_no_cell_is_wrong_use() -> None:
    with pytest.raises(UsageError, match=r"unknown cell 'mlp/nativ'\. Did you mean 'mlp/native'\?"):
        _named([PLAN], ["mlp/nativ"])


def _selection() -> Selection:
    return Selection(tier="quick", device="cpu")


def test_what_is_broken_in_a_newest_table_is_left_out_and_what_no_table_knows_is_tried(tmp_path: Path) -> None:
    made = table(passed("mlp", "native"), failed("cnn", "native"))
    records = tuple(replace(record, combination="somebodys") for record in made.records)
    named = replace(made, run=replace(made.run, combination="somebodys"), records=records)
    write_table(tmp_path, named)
    plan = replace(PLAN, combination="somebodys")
    plans, broken = _of_these(tmp_path, tmp_path, _selection(), {"somebodys": [plan]}, [])
    assert {(cell.model, cell.strategy) for cell in plans["somebodys"][0].cells} == {
        ("mlp", "native"),
        ("mlp", "onnx-dynamo"),
        ("cnn", "onnx-dynamo"),
    }
    record = next(record for record in named.records if record.outcome is not Outcome.PASSED)
    assert isinstance(record.stage, Stage)
    assert broken == {("cnn", "native"): f"somebodys: failed at {record.stage.value} in its newest table"}
    with pytest.raises(NoEvidenceError, match="none of these cells passes on both sides"):
        _of_these(tmp_path, tmp_path, _selection(), {"somebodys": [plan]}, ["cnn/native"])
