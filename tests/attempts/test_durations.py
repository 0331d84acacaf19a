"""How long cells took, from the committed tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.attempts.durations import durations
from harness.bench.plan import Cell, Plan
from harness.tables.reading import read_table

ROOT = Path(__file__).resolve().parents[2]
PLAN = Plan(
    combination="torch2.0",
    device="cpu",
    tier="quick",
    cells=tuple(Cell("torch2.0", "resnet18", name, "cpu") for name in ("native", "tf2onnx", "nothing-like-it")),
)


def test_the_newest_table_of_the_series_tells() -> None:
    found = durations([ROOT / "results"], PLAN)
    assert set(found) == {("resnet18", "native"), ("resnet18", "tf2onnx")}
    assert all(0 < seconds < 600 for seconds in found.values())


def test_a_new_combination_has_those_of_others() -> None:
    assert set(durations([ROOT / "results"], replace(PLAN, combination="torch9.9"))) >= {("resnet18", "native")}


def test_nothing_is_known_of_a_series_without_a_table_or_with_one_that_cannot_be_read(tmp_path: Path) -> None:
    assert durations([tmp_path], PLAN) == {}
    folder = tmp_path / "torch2.0" / "cpu-quick" / "20260101T000000Z"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{", encoding="utf-8")
    assert durations([tmp_path], PLAN) == {}


def test_what_timing_took_is_left_out() -> None:
    """Three launches and one more share what a cell took beside converting, which comes once."""
    (table,) = sorted((ROOT / "results" / "torch2.0" / "cpu-quick").glob("*"))[-1:]
    rows = {(row.model, row.strategy): row for row in read_table(table).records}
    found = durations([ROOT / "results"], PLAN)
    for strategy in ("native", "tf2onnx"):
        row = rows["resnet18", strategy]
        assert row.launches == 3
        assert row.convert_s is not None
        assert row.duration_s is not None
        expected = row.convert_s + (row.duration_s - row.convert_s) / 4
        assert found["resnet18", strategy] == pytest.approx(expected)
        assert found["resnet18", strategy] < row.duration_s


def test_a_model_that_no_table_has_takes_what_others_take_by_its_strategy() -> None:
    mine = (Cell("torch2.0", "mine", "tf2onnx", "cpu"), Cell("torch2.0", "mine", "nothing-like-it", "cpu"))
    found = durations([ROOT / "results"], replace(PLAN, cells=mine, series="ours"))
    (table,) = sorted((ROOT / "results" / "torch2.0").glob("cpu-*/*"), key=lambda each: each.name)[-1:]
    rows = [row for row in read_table(table).records if row.strategy == "tf2onnx" and row.duration_s]
    assert set(found) == {("mine", "tf2onnx")}
    assert 0 < found["mine", "tf2onnx"] < max(row.duration_s or 0.0 for row in rows)


def test_another_root_is_asked_for_what_the_first_does_not_know(tmp_path: Path) -> None:
    assert durations([tmp_path, ROOT / "results"], PLAN) == durations([ROOT / "results"], PLAN)


def test_what_is_not_applicable_takes_no_time_and_is_not_taken_for_unknown() -> None:
    cells = (Cell("torch2.0", "vgg16-features", "manual-recreation", "cpu"),)
    found = durations([ROOT / "results"], replace(PLAN, cells=cells))
    assert found == {("vgg16-features", "manual-recreation"): 0.0}
