"""What `harness rerun` and `harness explain` make of how a cell ended."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import cli
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.cli.rerunning import Ran, ended_alike, told_end
from harness.tables.writing import write_table
from tests.tables.samples import failed, mismatched, passed, record, table

FAILED = failed("mlp", "onnx-dynamo")
UNTOLD = replace(FAILED, fingerprint=None)


@pytest.mark.parametrize(
    ("before", "now", "alike", "note"),
    [
        (FAILED, FAILED, True, ""),
        (FAILED, replace(FAILED, fingerprint="e" * 8), False, ""),
        (UNTOLD, FAILED, True, "the cause was not recorded then, so that it may be another now"),
        (FAILED, UNTOLD, True, "the cause (ffffffff) was recorded then, and nothing tells it now"),
        (UNTOLD, failed("mlp", "onnx-dynamo", Stage.CONVERT), False, ""),
        (passed("mlp", "native"), failed("mlp", "native"), False, ""),
        (passed("mlp", "native"), passed("mlp", "native"), True, ""),
    ],
)
def test_causes_are_held_against_each_other_only_where_both_are_recorded(
    before: Record, now: Record, alike: bool, note: str
) -> None:
    assert ended_alike(before, now) is alike
    told = told_end(before, Ran(record=now, details={}, differing=()), same=alike)
    assert told.startswith("It ended as it was recorded: " if alike else "It ended in another way.")
    assert ("\n  - " in told) is bool(note)
    assert note in told


@pytest.mark.parametrize(
    ("ended", "offered"),
    [
        (FAILED, True),
        (mismatched("mlp", "onnx-dynamo"), True),
        (failed("mlp", "onnx-dynamo", Stage.INSTALL), False),
        (failed("mlp", "onnx-dynamo", Stage.MEASURE), False),
        (
            record("mlp", "onnx-dynamo", Outcome.OUT_OF_MEMORY, Stage.EXECUTE, error_type="MemoryError", error="x"),
            False,
        ),
        (passed("mlp", "onnx-dynamo"), False),
    ],
)
def test_a_script_is_offered_only_where_one_may_show_it(tmp_path: Path, ended: Record, offered: bool) -> None:
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "torch2.0.in").write_text("# python: 3.10\ntorch==2.0.1\n", encoding="utf-8")
    folder = write_table(tmp_path / "results", table(ended))
    cell = f"{folder}/mlp/onnx-dynamo"
    done = CliRunner().invoke(cli.cli, ["--root", str(tmp_path), "explain", cell, "--json"], prog_name="harness")
    assert done.exit_code == 0, done.output
    assert any(" reproduce " in command for command in json.loads(done.stdout)["next"]) is offered
