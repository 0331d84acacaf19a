"""A duel after runs of the same: it converts nothing, and times what the runs converted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.attempts import store
from harness.bench.plan import slug_of
from tests.real.conftest import ROOT

pytestmark = pytest.mark.real

_CELLS = [("lstm", "onnx-torchscript")]


def _details(side: str) -> dict[str, dict[str, object]]:
    """The details of the records of the newest attempt that made a side of a duel ready, by cell."""
    plans = (path for path in (ROOT / ".harness" / "attempts").glob("*/*/plan.json"))
    of_side = [path for path in plans if json.loads(path.read_text(encoding="utf-8"))["duel_side"] == side]
    records = max(of_side, key=lambda path: path.stat().st_mtime).parent / "records"
    slugs = [slug_of(*cell) for cell in _CELLS]
    return {slug: json.loads((records / f"{slug}.json").read_text(encoding="utf-8"))["details"] for slug in slugs}


def test_a_duel_after_runs_converts_nothing(
    harness: Callable[..., subprocess.CompletedProcess[str]], pinned: Callable[[str], Path]
) -> None:
    names = ("torch2.0", "torch2.1")
    for name in names:
        pinned(name)
    selected = ["--models=lstm", "--strategies=onnx-torchscript", "--device=cpu"]
    ran = harness("run", *names, *selected, "--restart")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in store.folder_of(ROOT).glob("*/entry.json")]
    wanted = {f"{name}/{'/'.join(cell)}" for name in names for cell in _CELLS}
    assert wanted <= {entry["cell"] for entry in entries}
    fought = harness("duel", *names, *selected, "--budget=0.01")
    assert "1 of 1 cells were converted before, and need not be again" in fought.stdout + fought.stderr
    for side in ("a", "b"):
        for details in _details(side).values():
            seconds = details["seconds"]
            assert isinstance(seconds, dict)
            assert "convert" not in seconds
            assert "given" in details
