"""What a table has no room for: given away when it is written, found by its run, and bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from pyarrow import parquet

from harness.attempts import details
from harness.bench.attempt import Attempt
from harness.bench.latency import latency
from harness.tables.schema import Run
from tests.tables.samples import failed, passed, table, timing, write_attempt

UNTIMED = passed("mlp", "native", latency_ms=None, launches=None, iterations=None)
RECORDS = (UNTIMED, failed("mlp", "onnx-torchscript:16"))
MIB = 2**20


def run_at(second: int) -> Run:
    return replace(table(*RECORDS).run, started=f"2026-01-31T12:00:{second:02}Z")


def attempt_in(folder: Path, size: int = 1000) -> Attempt:
    attempt = write_attempt(folder, RECORDS)
    artifact = attempt.kept / "mlp--onnx-torchscript@16" / "convert" / "artifact-0"
    artifact.mkdir(parents=True)
    (artifact / "model.onnx").write_bytes(bytes(size))
    attempt.plan.write_text(json.dumps({"version": 1}), encoding="utf-8")
    return attempt


def kept(root: Path, run: Run) -> Path:
    return details.kept_folder(root, run, "mlp", "onnx-torchscript:16")


def test_an_attempt_gives_its_details_to_the_table_and_the_next_run_of_the_same_takes_none(tmp_path: Path) -> None:
    attempt = attempt_in(tmp_path / ".harness" / "attempts" / "torch2.0" / "one")
    assert details.give(tmp_path, [attempt], run_at(1), limit_mb=100) == []
    record = details.record_file(tmp_path, run_at(1), "mlp", "onnx-torchscript:16")
    assert record is not None
    assert json.loads(record.read_text())["row"]["error"] == "the graph is not valid"
    assert (kept(tmp_path, run_at(1)) / "convert" / "artifact-0" / "model.onnx").is_file()
    assert details.plan_file(tmp_path, run_at(1), "").is_file()
    assert not list(attempt.kept.iterdir())  # moved, not doubled

    details.give(tmp_path, [attempt], run_at(2), limit_mb=100)
    assert details.record_file(tmp_path, run_at(1), "mlp", "native") is not None
    assert details.record_file(tmp_path, run_at(3), "mlp", "native") is None


def timed_attempt(folder: Path) -> Attempt:
    kept = [timing([0.002, 0.003, 0.004]), timing([0.001, 0.001], calls=40)]
    cell = passed("mlp", "onnx-torchscript:16", **latency(kept))
    return write_attempt(folder, [UNTIMED, cell], details={cell.cell[:2]: {"launches": kept, "own": 1}})


def test_raw_samples_are_kept_in_a_file_of_their_own_and_not_in_the_records(tmp_path: Path) -> None:
    attempt = timed_attempt(tmp_path / "out")
    details.give(tmp_path, [attempt], run_at(1), limit_mb=100)
    path = details.samples_file(tmp_path, run_at(1))
    assert path is not None
    rows = parquet.read_table(path).to_pylist()
    of_cell = {"extension": "", "model": "mlp", "strategy": "onnx-torchscript:16", "device": "cpu"}
    assert rows[0] == {**of_cell, "launch": 0, "round": 0, "calls": 10, "call_s": 0.002}
    assert rows[4] == {**of_cell, "launch": 1, "round": 1, "calls": 40, "call_s": 0.001}
    assert len(rows) == 5
    assert parquet.ParquetFile(path).metadata.row_group(0).column(7).compression == "ZSTD"

    record = details.record_file(tmp_path, run_at(1), "mlp", "onnx-torchscript:16")
    assert record is not None
    left = json.loads(record.read_text(encoding="utf-8"))
    own = json.loads((attempt.records / record.name).read_text(encoding="utf-8"))
    assert left["row"] == own["row"]
    assert left["details"]["own"] == 1
    for launch, whole in zip(left["details"]["launches"], own["details"]["launches"], strict=True):
        samples = whole.pop("samples_s")
        assert samples, "the attempt itself, which lies elsewhere, keeps them"
        assert launch == whole


def test_where_nothing_was_timed_there_are_no_samples_and_nothing_is_imported_to_write_them(tmp_path: Path) -> None:
    attempt = attempt_in(tmp_path / "out")
    details.give(tmp_path, [attempt], run_at(1), limit_mb=100)
    assert details.samples_file(tmp_path, run_at(1)) is None
    code = "import sys, harness.cli; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_samples_of_a_newest_table_go_last(tmp_path: Path) -> None:
    for second in (1, 2):
        attempt = timed_attempt(tmp_path / ".harness" / "attempts" / "torch2.0" / str(second))
        details.give(tmp_path, [attempt], run_at(second), limit_mb=100)
    assert details.samples_file(tmp_path, run_at(1)) is not None
    details.bound(tmp_path, 0)
    assert not details.folder_of(tmp_path, run_at(1)).exists()
    assert details.samples_file(tmp_path, run_at(2)) is None
    assert details.record_file(tmp_path, run_at(2), "mlp", "native") is not None


def test_an_attempt_that_lies_elsewhere_keeps_its_own_too(tmp_path: Path) -> None:
    attempt = attempt_in(tmp_path / "out")
    details.give(tmp_path / "repository", [attempt], run_at(1), limit_mb=100)
    assert (kept(tmp_path / "repository", run_at(1)) / "convert").is_dir()
    assert (attempt.kept / "mlp--onnx-torchscript@16" / "convert").is_dir()


def test_each_extensions_attempt_has_its_own_plan(tmp_path: Path) -> None:
    own = attempt_in(tmp_path / ".harness" / "attempts" / "torch2.0" / "one")
    tools = write_attempt(tmp_path / ".harness" / "attempts" / "torch2.0+tools" / "one", [passed("mlp", "tf2onnx")])
    tools.file.write_text(json.dumps({**json.loads(tools.file.read_text()), "extension": "tools"}))
    tools.plan.write_text("{}", encoding="utf-8")
    details.give(tmp_path, [own, tools], run_at(1), limit_mb=100)
    assert details.plan_file(tmp_path, run_at(1), "tools").read_text() == "{}"
    assert details.plan_file(tmp_path, run_at(1), "").is_file()
    assert details.record_file(tmp_path, run_at(1), "mlp", "tf2onnx") is not None


def test_the_oldest_go_first_and_the_newest_tables_records_never(tmp_path: Path) -> None:
    for second in (1, 2, 3):
        attempt = attempt_in(tmp_path / ".harness" / "attempts" / "torch2.0" / str(second), size=2 * MIB)
        told = details.give(tmp_path, [attempt], run_at(second), limit_mb=5)
    (line,) = told
    assert line.startswith("2 MiB of logs and artifacts of older cells were removed from .harness/details, so that no ")
    assert [kept(tmp_path, run_at(second)).exists() for second in (1, 2, 3)] == [False, True, True]
    assert details.record_file(tmp_path, run_at(1), "mlp", "native") is not None

    details.bound(tmp_path, 0)
    assert [kept(tmp_path, run_at(second)).exists() for second in (1, 2, 3)] == [False, False, False]
    found = [details.record_file(tmp_path, run_at(second), "mlp", "native") for second in (1, 2, 3)]
    assert [each is not None for each in found] == [False, False, True]


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    left = details.folder_of(tmp_path, run_at(1)).with_name(".20260131T120001Z.partial")
    (left / "records").mkdir(parents=True)
    attempt = attempt_in(tmp_path / ".harness" / "attempts" / "torch2.0" / "one")
    details.give(tmp_path, [attempt], run_at(2), limit_mb=100)
    assert not left.exists()


def test_a_folder_that_is_about_to_be_shown_is_spared(tmp_path: Path) -> None:
    for second in (1, 2, 3):
        attempt = attempt_in(tmp_path / ".harness" / "attempts" / "torch2.0" / str(second), size=2 * MIB)
        details.give(tmp_path, [attempt], run_at(second), limit_mb=100)
    details.bound(tmp_path, 0, spared=kept(tmp_path, run_at(1)))
    assert [kept(tmp_path, run_at(second)).exists() for second in (1, 2, 3)] == [True, False, False]
