"""Histories of cells as a terminal shows them, at two widths, and as JSON."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.cli import cli
from harness.report.histories import histories
from harness.report.sparks import BLOCKS, sparkline
from harness.report.timeline import LETTERS, print_histories
from harness.tables.history import history
from harness.tables.writing import write_table
from tests.report.comparisons import LOAD_ERROR
from tests.tables.samples import MACHINE, PINS, failed, launches_of, passed, table

EXPECTED = Path(__file__).parent / "expected"
ROOT = Path(__file__).resolve().parents[2]
MOVED = PINS | {"onnx": "1.15.0"}


def night(day: int) -> str:
    return f"2026-02-{day:02}T02:00:00Z"


def cell_of(day: int) -> Record:
    """What became of one cell in that night: slower from the ninth on, broken in the fifth and sixth."""
    if day in (5, 6):
        return failed("resnet18", "onnx:16", error_type="InvalidGraph", error=LOAD_ERROR, fingerprint="f46e33b6c2b0")
    if day == 12:
        return replace(cell_of(11), carried_from=night(11))
    noise = 1 + 0.01 * ((7 * day) % 5 - 2)
    quality = "busy" if day == 3 else None
    latency_ms = round((2.0 if day < 9 else 2.6) * noise, 4)
    return passed("resnet18", "onnx:16", latency_ms=latency_ms, rss_peak_mb=300.0, latency_quality=quality)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with sixteen nights of three cells; the last two were on another machine."""
    made = tmp_path_factory.mktemp("repository")
    (made / "matrices").mkdir()
    for day in range(1, 17):
        records = (cell_of(day), passed("resnet18", "native"), passed("a-model-with-a-name-of-some-length", "native"))
        values: dict[str, Any] = {"started": night(day), "pins": PINS if day < 9 else MOVED}
        if day > 14:
            values["machine"] = replace(MACHINE, cores=4)
        launches = [
            replace(row, busy_cores=0.5 * bool(each.latency_quality)) for each in records for row in launches_of(each)
        ]
        write_table(made / "results", table(*records, combination="torch2.0", launches=launches, **values))
    return made


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--root", str(root), "history", *arguments])


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize(("name", "cells", "by_run"), [("cell", "resnet18/onnx*", True), ("cells", "*/*", False)])
def test_what_a_terminal_shows(root: Path, tmp_path: Path, name: str, cells: str, by_run: bool, width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    told = histories(history(root / "results", [cells], cache=tmp_path))
    print_histories(console, told, by_run=by_run)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert shown == (EXPECTED / f"history-{name}-{width}.txt").read_text(encoding="utf-8")
    assert max(map(len, shown.splitlines())) <= width


def test_the_command_shows_few_cells_by_run_and_keeps_what_it_read(root: Path) -> None:
    told = run(root, "torch2.0/resnet18/onnx:16")
    assert told.exit_code == 0, told.output
    assert "latency +29 % (2.01 to 2.60 ms) from here on; onnx 1.14.0 -> 1.15.0" in " ".join(told.stdout.split())
    assert (root / ".harness" / "history").is_dir()
    assert not run(root, "*/*", "--no-runs").stdout.startswith("torch2.0/a-model-with-a-name-of-some-length/native on")


def test_json_has_all_runs_and_change_points(root: Path) -> None:
    told = json.loads(run(root, "torch2.0/resnet18/onnx:16", "--json").stdout)
    (cell,) = told["cells"]
    assert (told["schema_version"], told["unread"], cell["cell"]) == (1, {}, "torch2.0/resnet18/onnx:16")
    assert [each["started"] for each in cell["runs"]] == [night(day) for day in range(1, 17)]
    assert [each["fingerprint"] for each in cell["runs"]][4:6] == ["f46e33b6c2b0"] * 2
    assert cell["runs"][11]["carried_from"] == night(11)
    assert cell["runs"][11]["latency_ms"] == cell["runs"][10]["latency_ms"]
    assert cell["change_points"] == [
        {
            "number": "latency_ms",
            "run": "torch2.0/cpu-quick/20260209T020000Z",
            "before": pytest.approx(2.0, rel=0.02),
            "after": pytest.approx(2.6, rel=0.02),
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vgg/native"], "has a cell vgg/native. `harness show COMBINATION`"),
        (["resnet18/native", "--device", "cuda"], "has a cell resnet18/native on cuda."),
        (["resnet18"], "names no cell"),
        (["*/*", "--results", "nowhere"], "no such folder of results"),
    ],
)
def test_what_is_in_no_table_is_wrong_use(root: Path, arguments: list[str], said: str) -> None:
    told = run(root, *arguments)
    assert (told.exit_code, told.stdout) == (2, "")
    assert said in told.stderr


def test_a_table_that_cannot_be_read_is_named_after_what_the_others_tell(root: Path, tmp_path: Path) -> None:
    for day in (1, 2):
        folder = write_table(tmp_path / "results", table(passed("vgg", "native"), started=night(day)))
    (folder / "cells.csv").write_text("nothing\n")
    told = run(root, "vgg/native", "--results", str(tmp_path / "results"))
    assert told.exit_code == 2
    assert "on cpu: 1 run, 1 passed" in told.stdout
    assert f"could not be read are not in it:\n  {folder}: " in told.stderr


def test_the_committed_tables_have_a_history(tmp_path: Path) -> None:
    (tmp_path / "matrices").mkdir()
    told = run(tmp_path, "torch2.0/resnet18/native", "--results", str(ROOT / "results"))
    assert told.exit_code == 0, told.output
    assert "torch2.0/resnet18/native on cpu: " in told.stdout


def test_each_outcome_has_a_letter_of_its_own() -> None:
    assert set(LETTERS) == set(Outcome)
    assert len(set(LETTERS.values())) == len(Outcome)


@given(st.lists(st.floats(1e-6, 1e9), max_size=30))
def test_a_sparkline_is_as_high_as_its_values(values: list[float]) -> None:
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    order = sorted(range(len(values)), key=values.__getitem__)
    heights = [BLOCKS.index(drawn[index]) for index in order]
    assert heights == sorted(heights)


def test_a_sparkline_shows_no_leap_where_there_is_none_and_parts_levels() -> None:
    assert sparkline([1.00, 1.01, 0.99]) == "██▇"
    assert sparkline([1, 1, 2, 2], {2}) == "▁▁|██"
    assert sparkline([1, 2], glyphs="_#") == "_#"
