"""`harness report`: which tables, where the page goes, and what is told."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.bump.bumpfile import write_bump
from harness.bump.schema import Blame, Bump, Package, Status
from harness.cli import cli, pages
from harness.tables.reading import read_table
from harness.tables.schema import Table
from harness.tables.writing import write_table
from tests.report.page.pages import many_cells, small_tables
from tests.tables.samples import passed, table


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with three tables of two combinations, and being in it."""
    (tmp_path / "matrices").mkdir()
    for each in small_tables():
        write_table(tmp_path / "results", each)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["report", *arguments], prog_name="harness")


def _data(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_all_tables_are_one_file(root: Path) -> None:
    result = _run()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Written: report.html (3 tables, 0.")
    assert [table["folder"] for table in _data(root / "report.html")["tables"]] == [
        "results/torch2.0/cpu-quick/20260131T120000Z",
        "results/torch2.1/cpu-quick/20260201T120000Z",
        "results/torch2.1/cpu-quick/20260202T120000Z",
    ]
    assert [path.name for path in root.iterdir() if "partial" in path.name] == []


def test_the_same_tables_make_the_same_bytes(root: Path) -> None:
    _run("--out", "a.html")
    shutil.move(root / "results", root / "elsewhere")
    shutil.copytree(root / "elsewhere", root / "results")
    _run("--out", "b.html")
    assert (root / "a.html").read_bytes() == (root / "b.html").read_bytes()


def test_a_folder_gets_an_index(root: Path) -> None:
    assert _run("--out", "site").stdout.startswith("Written: site/index.html")
    assert (root / "site" / "index.html").is_file()


def test_a_name_is_all_tables_of_a_combination_and_a_path_is_one(root: Path) -> None:
    _run("torch2.1")
    assert [table["combination"] for table in _data(root / "report.html")["tables"]] == ["torch2.1", "torch2.1"]
    _run("results/torch2.0/cpu-quick/20260131T120000Z", "torch2.1")
    assert len(_data(root / "report.html")["tables"]) == 3


def test_a_name_that_is_none_is_told_with_the_nearest(root: Path) -> None:
    result = _run("torch2.2")
    assert result.exit_code == 2
    assert "no table of 'torch2.2' under results" in result.stderr
    assert "torch2.1" in result.stderr
    assert not (root / "report.html").exists()


def test_without_tables_it_says_what_makes_some(root: Path) -> None:
    shutil.rmtree(root / "results")
    result = _run()
    assert result.exit_code == 2
    assert "`harness run` makes tables" in result.stderr


def test_a_table_that_cannot_be_read_is_told_on_the_page_and_beside_it(root: Path) -> None:
    folder = root / "results/torch2.1/cpu-quick/20260201T120000Z"
    (folder / "cells.csv").write_text("cut")
    result = _run()
    assert result.exit_code == 0
    assert "cannot be read: results/torch2.1/cpu-quick/20260201T120000Z" in result.stderr
    data = _data(root / "report.html")
    assert len(data["tables"]) == 2
    assert [name for name, _ in data["unread"]] == ["results/torch2.1/cpu-quick/20260201T120000Z"]


def test_what_has_no_room_is_told_and_is_the_oldest(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in many_cells(4, 4):
        write_table(root / "results", each)
    _run()
    monkeypatch.setattr(pages, "MOST_BYTES", (root / "report.html").stat().st_size - 100)
    result = _run()
    data = _data(root / "report.html")
    oldest = "results/torch2.0/cpu-quick/20260131T120000Z"
    assert data["left_out"] == [oldest]
    assert oldest not in [table["folder"] for table in data["tables"]]
    assert f"Left out of report.html, the oldest, to stay below 5 MB: {oldest}." in result.stderr


def test_a_folder_has_the_rest_on_a_page_for_each_combination(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run()
    monkeypatch.setattr(pages, "MOST_BYTES", (root / "report.html").stat().st_size - 100)
    result = _run("--out", "site")
    incomplete = "results/torch2.1/cpu-quick/20260201T120000Z"
    assert _data(root / "site/index.html")["left_out"] == [incomplete]
    assert _data(root / "site/index.html")["pages"] == [["torch2.1", "torch2.1.html"]]
    of_one = _data(root / "site/torch2.1.html")
    assert incomplete in [table["folder"] for table in of_one["tables"]]
    assert of_one["pages"] == [["all combinations", "index.html"]]
    assert [line.partition(" (")[0] for line in result.stdout.splitlines()] == [
        "Written: site/index.html",
        "Written: site/torch2.1.html",
    ]


def test_a_combination_named_index_does_not_take_the_place_of_the_index(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "results/torch2.1").rename(root / "results/Index")
    _run()
    monkeypatch.setattr(pages, "MOST_BYTES", (root / "report.html").stat().st_size - 100)
    _run("--out", "site")
    assert sorted(path.name for path in (root / "site").iterdir()) == ["Index_.html", "index.html"]
    assert _data(root / "site/index.html")["pages"] == [["Index", "Index_.html"]]
    assert _data(root / "site/Index_.html")["pages"] == [["all combinations", "index.html"]]


def test_newest_tables_that_are_too_large_are_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_BYTES", 1000)
    result = _run()
    assert len(_data(root / "report.html")["tables"]) == 2
    assert "report.html opens slowly: the newest tables alone are more than 5 MB." in result.stderr
    assert "Left out of report.html" in result.stderr


def test_only_tables_that_there_is_room_for_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(1, 29):
        of_a_day = table(passed("a", "native"), combination="torch2.2", started=f"2026-02-{day:02}T00:00:00Z")
        write_table(root / "results", of_a_day)
    _run("torch2.2")
    read: list[Path] = []

    def counted(folder: Path) -> Table:
        read.append(folder)
        return read_table(folder)

    monkeypatch.setattr(pages, "read_table", counted)
    for name, value in {
        "MOST_BYTES": (root / "report.html").stat().st_size - 15_000,
        "_TRIED_WHOLE": 0,
        "_FULL": 1,
    }.items():
        monkeypatch.setattr(pages, name, value)
    assert _run("torch2.2").exit_code == 0
    assert (root / "report.html").stat().st_size < pages.MOST_BYTES
    data = _data(root / "report.html")
    taken = [each["started"] for each in data["tables"]]
    assert taken == [f"2026-02-{day:02}T00:00:00Z" for day in range(29 - len(taken), 29)]
    assert 3 < len(taken) <= len(read) < 25
    assert len(data["left_out"]) == 28 - len(taken)


def test_blame_beside_a_table_is_on_the_page(root: Path) -> None:
    moves = (Package(name="torch", before="2.0.1", after="2.1.0", direct=True),)
    cell = "torch2.1/embedding/onnx-torchscript"
    blame = Blame(
        cell=cell,
        cells=(cell,),
        category="newly-failing",
        outcome="failed",
        stage="load",
        fingerprint="f46e33b6c2b0",
        status=Status.NOT_LOOKED_INTO,
        limits=("trials were not asked for",),
    )
    folder = root / "results/torch2.1/cpu-quick/20260202T120000Z"
    write_bump(folder, Bump(base="torch2.0", candidate="torch2.1", moves=moves, blames=(blame,)))
    assert _run().exit_code == 0
    data = _data(root / "report.html")
    (cause,) = data["tables"][2]["blame"]["causes"]
    assert data["texts"][cause["cells"][0]] == cell
    assert "trials were not asked for" in data["texts"]
    (folder / "bump.json").write_text("{")
    result = _run()
    assert result.exit_code == 0
    assert "bump.json" in result.stderr
    assert _data(root / "report.html")["tables"][2]["blame"] is None


@pytest.mark.parametrize("out", ["/proc/nope/page.html", "/proc/nope", "file/page.html", "file"])
def test_a_page_that_cannot_be_written_is_refused_and_named(root: Path, out: str) -> None:
    (root / "file").write_text("kept", encoding="utf-8")
    before = sorted(root.iterdir())
    result = _run("--out", out)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--out: {out}" in " ".join(result.stderr.split())
    assert sorted(root.iterdir()) == before
    assert (root / "file").read_text(encoding="utf-8") == "kept"


def test_a_page_on_a_full_device_ends_with_three_and_leaves_the_device(root: Path, full_device: Path) -> None:
    result = _run("--out", str(full_device))
    assert result.exit_code == 3
    assert "full could not be written: No space left on device." in " ".join(result.stderr.split())
    assert full_device.is_char_device()
