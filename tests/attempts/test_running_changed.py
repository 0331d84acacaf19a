"""`harness run --changed` from the command line: in an ambient environment with a stand-in for torch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import cli
from harness.attempts.carrying import NIGHTS, is_due
from harness.bench.plan import Cell
from harness.bench.record import Record
from harness.tables.reading import read_table
from harness.tables.schema import Table
from tests.attempts.conftest import MODEL, add_route

BY_C = """
import ctypes, os

C = ctypes.CDLL(None)
C.mmap.restype = ctypes.c_void_p
C.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


def read(path):
    handle = C.open(os.fsencode(path), os.O_RDONLY)
    C.mmap(None, 1, 1, 2, handle, 0)
    C.close(handle)
"""
"""How libraries such as safetensors have a file: mapped by code of their own, of which Python sees nothing."""


@pytest.fixture
def models(root: Path) -> Path:
    """Two models, of which each has a file of its own beside it, and a strategy that fails where chance has it.

    One opens its file by Python, the other maps it.
    """
    add_route(root.parent / "plugins", "recite", "assert not os.environ.get('HARNESS_CHANCE'), 'by chance'")
    folder = root.parent / "models"
    folder.mkdir()
    for name, read in (("one", "def read(path):\n    open(path).close()\n"), ("two", BY_C)):
        text = MODEL.replace("WIDTH", "8").replace("    import torch\n", "    import torch\n\n    read(DATA)\n")
        made = f"from pathlib import Path\n{read}\nDATA = Path(__file__).with_suffix('.' + 'bin')\n{text}"
        (folder / f"{name}.py").write_text(made, encoding="utf-8")
        (folder / f"{name}.bin").write_bytes(b"1")
    return folder


def _run(root: Path, ambient: Path, models: Path, *more: str) -> tuple[Table, str]:
    given = ["--root", root, "run", "--python", ambient, "--plugin-folder", root.parent / "plugins"]
    asked = ["--models", models, "--strategies", "recite", "--device", "cpu", *more]
    result = CliRunner().invoke(cli.cli, [*map(str, given), *map(str, asked)], prog_name="harness")
    assert result.exit_code == 0, result.output
    newest = max(root.glob("**/ambient/*/*/run.json"), key=lambda path: path.parent.name)
    return read_table(newest.parent), result.output


def _night(records: Iterable[Record], seen: str, *, due: bool) -> str:
    """A night on which one of the cells of `records`, or none, is run again."""
    cells = [Cell("ambient", record.model, record.strategy, record.device) for record in records]
    nights = (date(2026, 1, 1) + timedelta(days=days) for days in range(NIGHTS))
    return next(str(n) for n in nights if sum(is_due(cell, n, seen=seen) for cell in cells) == int(due))


def test_only_what_changed_is_run_and_what_is_not_reproducible_is_told(
    root: Path, ambient: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = _run(root, ambient, models, "--changed")
    saw = first.run.started
    assert [r.carried_from for r in first.records] == [None, None], "nothing was there to carry"
    assert all(record.identity for record in first.records)

    quiet = _night(first.records, saw, due=False)
    again, told = _run(root, ambient, models, "--changed", "--night", quiet)
    assert f"ambient: 2 of 2 cells are carried over, seen by the run of {saw}" in told
    assert (again.run.carried, [r.carried_from for r in again.records]) == (2, [saw, saw])
    assert [(r.model, r.outcome, r.identity) for r in again.records] == [
        (r.model, r.outcome, r.identity) for r in first.records
    ]

    (models / "two.bin").write_bytes(b"2")
    edited, told = _run(root, ambient, models, "--changed", "--night", quiet)
    assert [r.carried_from for r in edited.records] == [saw, None]
    assert "1 cell of two is run, since a file that the cell was seen to read changed" in told

    monkeypatch.setenv("HARNESS_CHANCE", "1")
    night = _night(edited.records, saw, due=True)
    chance, told = _run(root, ambient, models, "--changed", "--night", night)
    (found,) = chance.run.not_reproducible
    assert (found.before, found.now) == ("not-applicable at load", "failed at convert")
    assert "Not reproducible, with nothing changed" in told
    assert chance.run.carried == 1
    stated = json.loads((Path(str(chance.folder)) / "run.json").read_text(encoding="utf-8"))
    assert [each["cell"] for each in stated["not_reproducible"]] == [found.cell]
