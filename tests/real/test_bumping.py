"""`harness bump` on versions that really break something, and on some that have no solution."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.bump.bumpfile import read_bump
from harness.matrix.combination import given_folder
from tests.real.conftest import ROOT

pytestmark = pytest.mark.real

Call = Callable[..., subprocess.CompletedProcess[str]]

MOVES = ("torch==2.1.0", "torchvision==0.16.0")
SELECTED = ("--models=embedding-new-zeros", "--strategies=native", "--strategies=onnx-torchscript", "--device=cpu")
VERDICT_MINUTES = 5


def test_what_moving_torch_breaks_is_told_by_one_command(harness: Call) -> None:
    done = harness("bump", "torch2.0", *MOVES, *SELECTED, "--no-blame", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "moved: torch 2.0.1 to 2.1.0, torchvision 0.15.2 to 0.16.0" in done.stderr
    told = json.loads(done.stdout)
    assert told["decision"] == "do not merge"
    (cell,) = told["cells"]
    assert cell["cell"] == "embedding-new-zeros/onnx-torchscript"
    assert cell["category"] == "newly-failing"
    assert "InvalidGraph" in (ROOT / cell["candidate"]["record"]).read_text(encoding="utf-8")
    name = told["candidate"]["combination"]
    assert name.startswith("torch2.0-bumped-")
    assert told["candidate"]["pins"] == {**told["base"]["pins"], "torch": "2.1.0", "torchvision": "0.16.0"}
    again = harness("bump", "torch2.0", *MOVES, *SELECTED, "--no-blame")
    assert again.returncode == 1, again.stdout + again.stderr
    assert again.stdout.count(": taken from the table ") == 2, "nothing is run twice"
    assert not (ROOT / "matrices" / f"{name}.in").exists()
    shutil.rmtree(given_folder(ROOT, name) / "env", ignore_errors=True)  # none where the tables were there before


def test_a_candidate_without_a_solution_names_both_packages_and_the_constraint(harness: Call, tmp_path: Path) -> None:
    base = tmp_path / "pins.txt"
    base.write_text("# python: 3.11\ntorch==2.5.1\nonnx==1.17.0\nonnxruntime==1.20.1\ntf2onnx==1.16.1\n", "utf-8")
    done = harness("--root", tmp_path, "bump", base, "onnx==1.18.0")
    assert done.returncode == 1, done.stdout + done.stderr
    told = " ".join(done.stdout.split())
    assert "tf2onnx==1.16.1 depends on protobuf" in told
    assert "onnx==1.18.0 depends on protobuf>=4.25.1" in told
    assert "tf2onnx==1.16.1 stands in the way: without that pin it resolves, with tf2onnx" in told
    assert len(done.stdout.splitlines()) <= 24, "it fits a screen"


@pytest.mark.long
def test_the_quick_tier_has_its_verdict_and_its_blame_in_time(harness: Call) -> None:
    begin = time.monotonic()
    done = harness("bump", "torch2.0", *MOVES, "--device=cpu", "--no-blame")
    assert done.returncode == 1, done.stdout + done.stderr
    assert time.monotonic() - begin < 60 * VERDICT_MINUTES
    assert "torch2.0: taken from the table" in done.stdout
    done = harness("bump", "torch2.0", *MOVES, "--device=cpu", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    told = json.loads(done.stdout)
    bump = read_bump(Path(told["candidate"]["table"]))
    first = bump.blames[0]
    assert first.cell.startswith("embedding-new-zeros/onnx-torchscript")
    assert first.culprits is not None
    assert [each.name for each in first.culprits.packages] == ["torch"]
    assert first.culprits.controls, "it was tried without torchvision, too"
    (versions,) = first.versions
    assert versions.first_broken is not None
    assert versions.first_broken.version == "2.1.0"
    assert versions.works_again is not None
    assert (versions.works_again.version, versions.works_again.packages["torchvision"]) == ("2.1.1", "0.16.1")
    assert first.side is not None
    assert first.side.side.value == "exporter"
    assert all((ROOT / record.file).is_file() for trial in bump.trials for record in trial.records)
    assert not list(given_folder(ROOT, "").glob("trial-*")), "environments of trials are removed again"


@pytest.mark.long
def test_the_version_that_mends_it_is_not_flagged(harness: Call) -> None:
    done = harness("bump", "torch2.0", "torch==2.1.2", "torchvision==0.16.2", *SELECTED)
    assert "embedding-new-zeros/onnx-torchscript" not in done.stdout.partition("Worse")[2].partition("Better")[0]
