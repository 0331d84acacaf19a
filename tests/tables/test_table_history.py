from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.bench.errors import UsageError
from harness.bench.stages import Outcome
from harness.tables import past
from harness.tables.history import History, history
from harness.tables.reading import read_table
from harness.tables.schema import Table
from harness.tables.writing import write_table
from tests.tables.samples import failed, passed, table

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "results"


def started(day: int) -> str:
    return f"2026-02-{day:02}T12:00:00Z"


def write(root: Path, day: int, *, combination: str = "torch2.0", latency_ms: float = 2.0) -> Path:
    records = [
        passed("resnet18", "native", latency_ms=latency_ms),
        failed("resnet18", "onnx:16"),
        passed("vgg", "native"),
    ]
    return write_table(root, table(*records, combination=combination, started=started(day)))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    for day in (3, 1, 2):
        write(root, day, latency_ms=float(day))
    write(root, 2, combination="torch2.1")
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def seen(found: History) -> list[tuple[str, str, float | None]]:
    return [(each.cell_id, each.run.started, each.record.latency_ms) for each in found.sightings]


def segments(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*.parquet"))


def test_a_cell_is_followed_from_run_to_run(results: Path, cache: Path) -> None:
    found = history(results, ["torch2.0/resnet18/native"], cache=cache)
    assert seen(found) == [("torch2.0/resnet18/native", started(day), float(day)) for day in (1, 2, 3)]
    first = found.sightings[0]
    assert first.run.run_id == "torch2.0/cpu-quick/20260201T120000Z"
    whole = read_table(first.run.folder)
    assert first.record == whole.records[0]
    assert (first.run.machine, first.run.python, first.run.pins) == (
        whole.run.machine,
        whole.run.python,
        whole.run.pins,
    )
    assert found.unread == {}


@pytest.mark.parametrize(
    ("cells", "ids"),
    [
        (["resnet18/native"], {"torch2.0/resnet18/native", "torch2.1/resnet18/native"}),
        (["torch2.1/*/native"], {"torch2.1/resnet18/native", "torch2.1/vgg/native"}),
        (["torch2.0/resnet18/onnx:*"], {"torch2.0/resnet18/onnx:16"}),
        (["torch2.1/vgg/native", "torch2.0/res*/onnx*"], {"torch2.1/vgg/native", "torch2.0/resnet18/onnx:16"}),
        (["resnet/native"], set()),
        (["torch2.0/resnet18/onnx:[0-9]?"], {"torch2.0/resnet18/onnx:16"}),
    ],
)
def test_cells_are_named_by_globs(results: Path, cache: Path, cells: list[str], ids: set[str]) -> None:
    found = history(results, cells, cache=cache)
    assert {cell for cell, _ in found.by_cell()} == ids
    assert sum(map(len, found.by_cell().values())) == len(found.sightings)


def test_a_warm_cache_says_the_same_and_reads_no_table(
    results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold = history(results, ["*/*"], cache=cache)
    read: list[Path] = []

    def reading(folder: Path, **given: Any) -> Table:
        read.append(folder)
        return read_table(folder, **given)

    monkeypatch.setattr(past, "read_table", reading)
    assert history(results, ["*/*"], cache=cache) == cold
    assert read == []
    new = write(results, 4)
    assert len(history(results, ["*/*"], cache=cache).sightings) == len(cold.sightings) + 3
    assert read == [new]
    assert len(segments(cache)) == 2


def test_tables_that_changed_or_went_are_followed(results: Path, cache: Path) -> None:
    name = ["torch2.0/resnet18/native"]
    history(results, name, cache=cache)
    folder = results / "torch2.0" / "cpu-quick" / "20260202T120000Z"
    shutil.rmtree(folder)
    assert [latency for _, _, latency in seen(history(results, name, cache=cache))] == [1.0, 3.0]
    write(results, 2, latency_ms=20.0)
    assert [latency for _, _, latency in seen(history(results, name, cache=cache))] == [1.0, 20.0, 3.0]
    shutil.rmtree(results)
    results.mkdir()
    assert history(results, name, cache=cache) == History(sightings=())
    assert segments(cache) == []


def test_many_segments_become_one(results: Path, cache: Path) -> None:
    for day in range(4, 24):
        history(results, ["*/*"], cache=cache)
        write(results, day)
    found = history(results, ["torch2.0/resnet18/native"], cache=cache)
    assert [each.run.started for each in found.sightings] == [started(day) for day in range(1, 24)]
    assert 1 < len(segments(cache)) < 16


@pytest.mark.parametrize("damage", ["removed", "cut", "flipped", "no index", "no json", "other code", "other index"])
def test_a_damaged_cache_is_made_anew(results: Path, cache: Path, damage: str) -> None:
    cold = history(results, ["*/*"], cache=cache)
    (segment,), (index,) = segments(cache), cache.glob("*/index.json")
    content, stated = segment.read_bytes(), json.loads(index.read_text())
    match damage:
        case "removed":
            segment.unlink()
        case "cut":
            segment.write_bytes(content[: len(content) // 2])
        case "flipped":
            at = len(content) // 2
            segment.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        case "no index":
            index.unlink()
        case "no json":
            index.write_text("{")
        case "other code":
            index.write_text(json.dumps({**stated, "code": "other", "tables": {}}))
        case _:
            index.write_text(json.dumps({**stated, "segments": {}}))
    assert history(results, ["*/*"], cache=cache) == cold
    assert segments(cache) == [segment]
    assert segment.read_bytes() == content


def test_a_table_that_cannot_be_read_is_told_and_hides_no_other(results: Path, cache: Path) -> None:
    broken = write(results, 9)
    (broken / "cells.csv").write_text("combination\n")
    for _ in range(2):
        found = history(results, ["torch2.0/resnet18/native"], cache=cache)
        assert [latency for _, _, latency in seen(found)] == [1.0, 2.0, 3.0]
        assert list(found.unread) == [broken]
        assert str(broken / "cells.csv") in found.unread[broken]


def test_two_folders_of_results_share_no_rows(results: Path, cache: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", 7)
    assert len(history(results, ["vgg/native"], cache=cache).sightings) == 4
    assert len(history(tmp_path / "other", ["vgg/native"], cache=cache).sightings) == 1


@pytest.mark.parametrize("cell", ["resnet18", "", "a/b/c/d", "torch2.0//native"])
def test_what_names_no_cell_is_refused(results: Path, cache: Path, cell: str) -> None:
    with pytest.raises(UsageError, match="names no cell"):
        history(results, [cell], cache=cache)


def test_a_folder_that_is_none_and_a_cache_that_is_a_file_are_told(results: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="no such folder of results"):
        history(results / "nowhere", ["a/b"], cache=cache)
    cache.write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        history(results, ["a/b"], cache=cache)


def test_committed_tables_of_every_schema_have_a_history(cache: Path) -> None:
    found = history(COMMITTED, ["*/*"], cache=cache)
    assert found.unread == {}
    tables = [read_table(run.parent) for run in COMMITTED.glob("*/*/*/run.json")]
    assert len(found.sightings) == sum(len(each.records) for each in tables)
    told = {(each.run.folder, each.record.cell): repr(each.record) for each in found.sightings}
    assert told == {(each.folder, record.cell): repr(record) for each in tables for record in each.records}
    assert {each.record.outcome for each in found.sightings} >= {Outcome.PASSED, Outcome.FAILED}
