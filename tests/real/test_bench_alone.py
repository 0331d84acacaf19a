"""The bench in a pinned environment, called as plain pytest."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytestmark = pytest.mark.real

Call = Callable[..., subprocess.CompletedProcess[str]]

QUICK = ("--models=length-loop", "--models=grid-sample", "--strategies=onnx-torchscript*", "--measure-s=0.05")


def _recorded(out: Path) -> set[str]:
    return {path.stem for path in (out / "records").glob("*.json")}


def test_collect_only_lists_every_cell_and_writes_nothing(bench: Call, tmp_path: Path) -> None:
    done = bench("torch2.0", *QUICK, "--collect-only", "-q", "--out", tmp_path / "out")
    assert done.returncode == 0
    assert "cells::torch2.0/grid-sample/onnx-torchscript:16" in done.stdout.splitlines()
    assert "4 tests collected" in done.stdout
    assert not (tmp_path / "out").exists()


def test_k_x_lf_and_junit_work_as_in_any_suite(bench: Call, tmp_path: Path) -> None:
    out, cache = tmp_path / "out", f"cache_dir={tmp_path / 'cache'}"
    done = bench(
        "torch2.0", *QUICK, "-k", "grid-sample", "--out", out, "-o", cache, f"--junit-xml={tmp_path / 'j.xml'}"
    )
    assert done.returncode == 1, done.stdout
    assert _recorded(out) == {"grid-sample--onnx-torchscript", "grid-sample--onnx-torchscript@16"}
    suite = ET.parse(tmp_path / "j.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")

    again = bench("torch2.0", *QUICK, "--lf", "--out", tmp_path / "again", "-o", cache)
    assert again.returncode == 1
    assert _recorded(tmp_path / "again") == {"grid-sample--onnx-torchscript"}

    ids = [f"cells::torch2.0/grid-sample/onnx-torchscript{value}" for value in ("", ":16")]
    first = bench("torch2.0", *QUICK, *ids, "-x", "--out", tmp_path / "first", "-o", cache, "--tb=short")
    assert first.returncode == 1
    assert _recorded(tmp_path / "first") == {"grid-sample--onnx-torchscript"}
    assert re.search(r"^\S*utils\.py:\d+: in _run_symbolic_function$", first.stdout, re.MULTILINE), first.stdout


def test_a_cell_without_forking_gives_the_same_outcome(bench: Call, tmp_path: Path) -> None:
    done = bench("torch2.0", *QUICK, "-k", "grid-sample and not 16", "--fresh", "--out", tmp_path)
    assert done.returncode == 1
    row = json.loads((tmp_path / "records" / "grid-sample--onnx-torchscript.json").read_text(encoding="utf-8"))["row"]
    assert (row["outcome"], row["stage"]) == ("failed", "convert")


def test_an_unknown_model_is_told_with_the_nearest(bench: Call, tmp_path: Path) -> None:
    done = bench("torch2.0", "--models=resnet81", "--out", tmp_path / "out")
    assert done.returncode == 4
    assert "Did you mean 'resnet18'?" in done.stderr
    assert not (tmp_path / "out").exists()


USER_MODEL = """
from harness.bench import Model, uniform


def build():
    import torch

    return torch.nn.Linear(8, 4)


MODEL = Model(
    summary="a user's own",
    family="own",
    build=build,
    example=lambda: {"x": uniform((2, 8))},
    probes={"other": lambda: {"x": uniform((2, 8), seed=1)}, "wrong": lambda: {"x": uniform(SHAPE, seed=2)}},
    dynamic={"x": {0: "batch", 1: "width"}},
)
"""


def test_a_users_own_model_runs(bench: Call, tmp_path: Path) -> None:
    model = tmp_path / "own_linear.py"
    model.write_text(USER_MODEL.replace("SHAPE", "(3, 8)"), encoding="utf-8")
    done = bench("torch2.0", "--models", model, "--strategies=native", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert _recorded(tmp_path / "out") == {"own-linear--native"}


def test_a_probe_that_forward_rejects_is_recorded(bench: Call, tmp_path: Path) -> None:
    model = tmp_path / "own_linear.py"
    model.write_text(USER_MODEL.replace("SHAPE", "(2, 9)"), encoding="utf-8")
    done = bench("torch2.0", "--models", model, "--strategies=native", "--out", tmp_path / "out")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "probe 'wrong' is rejected by forward" in done.stdout + done.stderr
    assert _recorded(tmp_path / "out") == {"own-linear--native"}


def test_a_probe_of_another_shape_is_told_and_nothing_is_written(bench: Call, tmp_path: Path) -> None:
    model = tmp_path / "own_linear.py"
    model.write_text(USER_MODEL.replace("SHAPE", "(2, 8, 1)"), encoding="utf-8")
    done = bench("torch2.0", "--models", model, "--strategies=native", "--out", tmp_path / "out")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "probe 'wrong': input 'x' has the shape [2, 8, 1]" in done.stdout + done.stderr
    assert _recorded(tmp_path / "out") == set()
    assert not (tmp_path / "out" / "attempt.json").exists()


def test_model_files_that_raise_at_import_are_refused_together_and_nothing_is_written(
    bench: Call, tmp_path: Path
) -> None:
    (tmp_path / "broken_at_import.py").write_text("raise OSError('no such disk')\nMODEL = None\n", encoding="utf-8")
    (tmp_path / "misspelt.py").write_text(
        "from harness.bench import Model\nMODEL = Model(sumary='')\n", encoding="utf-8"
    )
    (tmp_path / "own_linear.py").write_text(USER_MODEL.replace("SHAPE", "(3, 8)"), encoding="utf-8")
    done = bench("torch2.0", f"--models={tmp_path}", "--strategies=native", "--out", tmp_path / "out")
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"{tmp_path}/broken_at_import.py:1: OSError: no such disk" in done.stderr
    assert f"{tmp_path}/misspelt.py:2: TypeError: " in done.stderr
    assert "Did you mean 'summary'?" in done.stderr
    assert not (tmp_path / "out").exists()
