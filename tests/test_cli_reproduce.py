"""`harness reproduce`: what it refuses before anything is made, and that a refusal writes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import cli
from harness.tables.writing import write_table
from tests.tables.samples import failed, table

ROOT = Path(__file__).resolve().parents[1]
BROKEN = "torch2.1/embedding-new-zeros/onnx-torchscript:16"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reproduce(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.cli, ["--root", str(ROOT), "reproduce", *map(str, arguments)], prog_name="harness")


@pytest.mark.parametrize(
    ("cell", "options", "words"),
    [
        ("torch2.1/resnet18/native", (), "it passed"),
        ("torch2.1/resnet18/onnx-dynamo", (), "it is not applicable"),
        ("torch2.1/resnet19/native", (), "Did you mean"),
        ("resnet18", (), "names no cell"),
        (BROKEN, ("--pins", "torch9.9"), "neither a combination"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(
    here: Path, cell: str, options: tuple[str, ...], words: str
) -> None:
    result = reproduce(cell, *options)
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert not list(here.iterdir())


def test_a_file_that_is_none_of_these_scripts_is_left_alone(here: Path) -> None:
    file = here / "mine.py"
    file.write_text("print('mine')\n", encoding="utf-8")
    result = reproduce(BROKEN, "--output", file)
    assert result.exit_code == 2
    assert "Name another file" in result.output
    assert file.read_text(encoding="utf-8") == "print('mine')\n"


def test_a_table_elsewhere_is_read_by_its_folder(here: Path) -> None:
    newest = max((ROOT / "results" / "torch2.1" / "cpu-quick").iterdir())
    shutil.copytree(newest, here / "table")
    result = reproduce(f"{here / 'table'}/resnet18/native")
    assert result.exit_code == 2
    assert "it passed" in result.output


def test_a_module_of_ones_own_is_refused_with_its_line(here: Path) -> None:
    (here / "matrices").mkdir()
    (here / "net.py").write_text("class Net: ...\n", encoding="utf-8")
    (here / "mine.py").write_text(
        "from harness.bench import Model, uniform\n\n\n"
        "def build():\n    from net import Net\n\n    return Net()\n\n\n"
        "MODEL = Model(summary='', family='', build=build, example=lambda: {'x': uniform((2, 4))}, probes={})\n",
        encoding="utf-8",
    )
    folder = write_table(here / "results", table(failed("mine", "onnx-torchscript"), models="mine.py"))
    words = ["reproduce", f"{folder}/mine/onnx-torchscript"]
    result = CliRunner().invoke(cli.cli, ["--root", str(here), *words], prog_name="harness")
    assert result.exit_code == 2, result.output
    assert "mine.py, line 5: it needs your own module net, which nobody else has." in result.output
    assert not list(here.glob("repro*"))
