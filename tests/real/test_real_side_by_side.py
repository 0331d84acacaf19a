"""Cells of real frameworks side by side come to what they come to one after another."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.attempts import details
from harness.tables.reading import read_table
from harness.tables.schema import Table
from tests.real.conftest import ROOT

pytestmark = pytest.mark.real

MODELS = ("custom-operator", "gru", "length-loop")
"""One that no exporter takes, two that some take, and one whose conversion is wrong without a word."""


def _run(harness: Callable[..., subprocess.CompletedProcess[str]], results: Path, jobs: int) -> Table:
    models = [argument for model in MODELS for argument in ("--models", model)]
    how = [
        "--strategies",
        "native",
        "--strategies",
        "onnx-dynamo",
        "--strategies",
        "onnx-torchscript*",
        "--tier",
        "quick",
        "--results",
        results,
        "--jobs",
        str(jobs),
        "--restart",
    ]
    done = harness("run", "torch2.0", *models, *how)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = results.rglob("run.json")
    table = read_table(run.parent)
    assert table.run.complete
    return table


def _outcomes(table: Table) -> dict[tuple[str, str], tuple[object, ...]]:
    return {
        (r.model, r.strategy): (r.outcome, r.stage, r.fingerprint, r.relative_error, r.weights_digest)
        for r in table.records
    }


def _builds(table: Table) -> dict[str, set[str]]:
    """What the builds of each model took, as its cells tell: what one bench built and others took is told alike."""
    found: dict[str, set[str]] = {}
    for row in table.records:
        seconds = details.seen(ROOT, table.run, row.model, row.strategy).get("build_seconds")
        if seconds is not None:
            found.setdefault(row.model, set()).add(json.dumps(seconds))
    return found


def test_outcomes_are_equal_for_one_job_and_for_two_and_each_model_is_built_once(
    harness: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    alone = _outcomes(_run(harness, tmp_path / "alone", 1))
    table = _run(harness, tmp_path / "beside", 2)
    assert _outcomes(table) == alone
    assert len({outcome for outcome, *_ in alone.values()}) >= 3, json.dumps(sorted(map(str, alone.values())))
    assert {model: len(each) for model, each in _builds(table).items()} == dict.fromkeys(MODELS, 1)
