"""A run of only what changed, in a pinned environment with real frameworks."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from harness.attempts.carrying import NIGHTS, is_due
from harness.bench.plan import Cell
from harness.tables.reading import read_table
from harness.tables.schema import Table

pytestmark = pytest.mark.real

MODEL = """
from harness.bench import Model, uniform

WIDTH = {width}


def build():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(WIDTH, 4), torch.nn.{activation}())


MODEL = Model(
    summary="a layer", family="test", build=build, example=lambda: {{"x": uniform((2, WIDTH))}},
    probes={{"other": lambda: {{"x": uniform((2, WIDTH), seed=1)}}}},
)
"""

MOST_S = 20.0


@pytest.fixture
def run(
    harness: Callable[..., subprocess.CompletedProcess[str]], pinned: Callable[[str], Path], tmp_path: Path
) -> Callable[..., tuple[Table, float]]:
    """A run of the models in a folder, or of a tier; what its table is, and the seconds that it took."""
    pinned("torch2.0")

    def call(*more: str, tier: str | None = None) -> tuple[Table, float]:
        began = time.monotonic()
        strategies = ["--strategies", "native", "--strategies", "onnx-torchscript*"]
        models = ["--tier", tier] if tier else ["--models", tmp_path / "models"]
        given = [*models, "--results", tmp_path / "results", "--device", "cpu"]
        done = harness("run", "torch2.0", *given, *strategies, *more)
        taken = time.monotonic() - began
        assert done.returncode == 0, done.stdout + done.stderr
        found = re.search(r"^Table: (.+)$", done.stdout, re.MULTILINE)
        assert found, done.stdout
        return read_table(Path(found[1])), taken

    return call


def _ran(table: Table) -> set[tuple[str, str]]:
    """The cells that the run itself ran."""
    return {(record.model, record.strategy) for record in table.records if not record.carried_from}


def _told(table: Table) -> dict[tuple[str, str], tuple[object, ...]]:
    return {(r.model, r.strategy): (r.outcome, r.stage, r.fingerprint, r.relative_error) for r in table.records}


def _night(table: Table, *, due: bool) -> tuple[str, str]:
    """A night on which some of the cells of `table`, though less than half of them, are run again, or none."""
    cells = [Cell("torch2.0", record.model, record.strategy, record.device) for record in table.records]
    nights = (date(2026, 1, 1) + timedelta(days=days) for days in range(NIGHTS))
    numbers = {night: sum(is_due(cell, night, seen=table.run.started) for cell in cells) for night in nights}
    return "--night", str(next(night for night, n in numbers.items() if (0 < n < len(cells) / 2 if due else not n)))


def test_what_nothing_has_changed_for_is_carried_and_what_an_edit_touches_is_run(
    run: Callable[..., tuple[Table, float]], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "one.py").write_text(MODEL.format(width=8, activation="Tanh"), encoding="utf-8")
    (models / "two.py").write_text(MODEL.format(width=8, activation="Sigmoid"), encoding="utf-8")
    first, _ = run("--changed")
    assert _ran(first) == set(_told(first)), "nothing was there to carry"

    quiet, taken = run("--changed", *_night(first, due=False))
    assert (_told(quiet), _ran(quiet)) == (_told(first), set())
    assert taken < MOST_S

    night = _night(first, due=True)
    again, _ = run("--changed", *night)
    assert _told(again) == _told(first)
    share = _ran(again)
    assert 0 < len(share) < len(_told(first)) / 2

    (models / "two.py").write_text(MODEL.format(width=8, activation="ReLU"), encoding="utf-8")
    edited, _ = run("--changed", *night)
    of_two = {cell for cell in _told(first) if cell[0] == "two"}
    assert _ran(edited) == of_two | share


@pytest.mark.long
def test_an_unchanged_core_tier_takes_seconds_besides_its_share(
    run: Callable[..., tuple[Table, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    first, all_of_it = run("--changed", "--launches=0", "--jobs=2", tier="core")
    again, taken = run("--changed", "--launches=0", "--jobs=2", *_night(first, due=True), tier="core")
    assert _told(again) == _told(first)
    # What the share's cells import counts as well: a cell's seconds are without that.
    of_share = sum(record.duration_s or 0.0 for record in again.records if not record.carried_from) / 2
    with capsys.disabled():
        print(
            f"\n{len(first.records)} cells in {all_of_it:.0f} s, unchanged in {taken:.1f} s, "
            f"of which {of_share:.1f} s are of the {len(_ran(again))} that were run again",
            file=sys.stderr,
        )
    assert taken - of_share < MOST_S
