"""Cells of real frameworks side by side come to what they come to one after another."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.tables.reading import read_table

pytestmark = pytest.mark.real

MODELS = ("custom-operator", "gru", "length-loop")
"""One that no exporter takes, two that some take, and one whose conversion is wrong without a word."""


def _outcomes(
    harness: Callable[..., subprocess.CompletedProcess[str]], results: Path, jobs: int
) -> dict[tuple[str, str], tuple[object, ...]]:
    models = [argument for model in MODELS for argument in ("--models", model)]
    how = [
        "--strategies",
        "native",
        "--strategies",
        "onnx-*",
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
    return {
        (r.model, r.strategy): (r.outcome, r.stage, r.fingerprint, r.relative_error, r.weights_digest)
        for r in table.records
    }


def test_outcomes_are_equal_for_one_job_and_for_two(
    harness: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    alone = _outcomes(harness, tmp_path / "alone", 1)
    beside = _outcomes(harness, tmp_path / "beside", 2)
    assert beside == alone
    assert len({outcome for outcome, *_ in alone.values()}) >= 3, json.dumps(sorted(map(str, alone.values())))
