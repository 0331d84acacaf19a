"""How long cells took, from the committed tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.attempts.durations import durations
from harness.bench.plan import Cell, Plan

ROOT = Path(__file__).resolve().parents[2]
PLAN = Plan(
    combination="torch2.0",
    device="cpu",
    tier="quick",
    cells=tuple(Cell("torch2.0", "resnet18", name, "cpu") for name in ("native", "tf2onnx", "nothing-like-it")),
)


def test_the_newest_table_of_the_series_tells() -> None:
    found = durations(ROOT / "results", PLAN)
    assert set(found) == {("resnet18", "native"), ("resnet18", "tf2onnx")}
    assert all(0 < seconds < 600 for seconds in found.values())


def test_a_new_combination_has_those_of_others() -> None:
    assert set(durations(ROOT / "results", replace(PLAN, combination="torch9.9"))) >= {("resnet18", "native")}


def test_nothing_is_known_of_a_series_without_a_table_or_with_one_that_cannot_be_read(tmp_path: Path) -> None:
    assert durations(tmp_path, PLAN) == {}
    folder = tmp_path / "torch2.0" / "cpu-quick" / "20260101T000000Z"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{", encoding="utf-8")
    assert durations(tmp_path, PLAN) == {}
