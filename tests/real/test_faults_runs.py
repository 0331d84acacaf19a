"""What may befall a run of pinned environments: a cell that edits them, a kill in the second one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real.conftest import ROOT
from tests.real.plugins import add_strategy

pytestmark = pytest.mark.real

Call = Callable[..., subprocess.CompletedProcess[str]]


def _table(printed: str) -> list[Path]:
    return [ROOT / line.removeprefix("Table: ") for line in printed.splitlines() if line.startswith("Table: ")]


def _outcomes(table: Path) -> dict[str, str]:
    header, *rows = [line.split(",") for line in (table / "cells.csv").read_text(encoding="utf-8").splitlines()]
    return {row[header.index("strategy")]: row[header.index("outcome")] for row in rows}


def test_a_cell_that_edits_its_environment_is_found_out_and_the_others_run_in_a_whole_one(
    harness: Call, pinned: Callable[[str], Path], tmp_path: Path
) -> None:
    python = pinned("torch2.1")
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    target = site / "onnxruntime" / "__init__.py"
    before = target.read_bytes()
    plugins = tmp_path / "plugins"
    vandal = f"open({str(target)!r}, 'a').write('\\nraise ImportError(\"edited\")\\n')"
    add_strategy(plugins, "a-vandal", vandal)
    selected = ("--models=length-loop", "--strategies=a-vandal", "--strategies=native", "--strategies=onnx-torchscript")
    done = harness("run", "torch2.1", "--plugin-folder", plugins, *selected, "--device=cpu", "--restart")
    assert done.returncode == 0, done.stdout + done.stderr
    (table,) = _table(done.stdout)
    assert "onnxruntime" in done.stdout, "what is reinstalled is said"
    assert _outcomes(table) == {"a-vandal": "failed", "native": "passed", "onnx-torchscript": "mismatched"}
    assert "EnvironmentChanged" in (table / "cells.csv").read_text(encoding="utf-8")
    assert target.read_bytes() == before
    assert json.loads((table / "run.json").read_text(encoding="utf-8"))["complete"] is True


def test_a_run_killed_in_its_second_combination_goes_on_there(harness: Call, pinned: Callable[[str], Path]) -> None:
    for name in ("torch2.0", "torch2.1"):
        pinned(name)
    selected = (
        "--models=grid-sample",
        "--strategies=native",
        "--strategies=onnx-torchscript*",
        "--device=cpu",
        "--launches=1",
    )
    arguments = [sys.executable, "-m", "harness.cli", "run", "torch2.0", "torch2.1", *selected]
    process = subprocess.Popen(
        [*arguments, "--restart"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    first = ""
    for line in process.stdout:
        first += line
        if "/3] torch2.1/" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (settled,) = _table(first)

    done = harness(*arguments[3:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torch2.0: done already" in done.stdout
    assert "going on with 1 cells" in done.stdout
    tables = _table(done.stdout)
    assert tables[0] == settled
    assert len(tables) == 2
    assert f"Compare: harness gate {settled.relative_to(ROOT)}" in done.stdout
