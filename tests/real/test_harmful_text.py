"""What a tool says in an error is text in every outlet of a real run, and a run goes on when nobody reads it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.bench.record import ERROR_LENGTH
from tests.real.plugins import add_strategy

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.real

MESSAGE = (
    "=HYPERLINK(0) \x00 \x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \u202etxt.exe \u200b "
    "@octocat #1 https://evil.invalid `x` <b>|</b> [bold]y[/bold]\n\n## second\r\nline"
)
TEXTS = {
    "harmful-message": f"raise ValueError({MESSAGE!r})",
    "harmful-class": "raise type('=Bad\\x1b[31m\\u202e@octocat', (Exception,), {})('no')",
    "long-message": "raise ValueError('begin ' + 'x' * 10**7 + ' end')",
}


def _is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture(scope="module")
def out(
    bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The folder of a run in which every step raises something harmful, and what pytest printed."""
    plugins, folder = tmp_path_factory.mktemp("plugins"), tmp_path_factory.mktemp("out") / "run"
    for name, body in TEXTS.items():
        add_strategy(plugins, name, body)
    selected = [f"--strategies={name}" for name in TEXTS]
    done = bench("torch2.1", "--models=length-loop", "--plugin-folder", plugins, *selected, "--out", folder)
    assert done.returncode == 1, done.stdout + done.stderr
    return folder, done.stdout


def test_pytest_prints_text_and_little_of_it(out: tuple[Path, str]) -> None:
    _, printed = out
    assert _is_harmless(printed)
    assert "harmful-message" in printed
    assert len(printed) < 20_000


@pytest.mark.parametrize("name", TEXTS)
def test_a_record_holds_text_and_little_of_it(out: tuple[Path, str], name: str) -> None:
    (path,) = (out[0] / "records").glob(f"*--{name}.json")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    row = record["row"]
    assert (row["outcome"], row["stage"]) == ("failed", "convert")
    assert row["error"].isprintable()
    assert row["error_type"].isprintable()
    assert len(row["error"]) <= ERROR_LENGTH
    assert _is_harmless(record["details"]["traceback"])
    assert path.stat().st_size < 200_000


def test_the_beginning_and_the_end_of_a_long_message_are_kept(out: tuple[Path, str]) -> None:
    (path,) = (out[0] / "records").glob("*--long-message.json")
    error = json.loads(path.read_text(encoding="utf-8"))["row"]["error"]
    assert error.startswith("begin xx")
    assert error.endswith("xx end")


@pytest.fixture(scope="module")
def table(
    out: tuple[Path, str],
    harness: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of the table of that run."""
    done = harness("ingest", out[0], "--results", tmp_path_factory.mktemp("results"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert _is_harmless(done.stdout)
    return ROOT / done.stdout.rpartition("Table: ")[2].strip()


def test_git_takes_the_table_for_text(table: Path) -> None:
    command = ["git", "diff", "--no-index", "--numstat", "/dev/null", str(table / "cells.csv")]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert told.startswith(f"{1 + len(TEXTS)}\t0\t")


def test_a_spreadsheet_finds_no_formula_in_it(table: Path) -> None:
    with (table / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert any(row["error"].startswith("'=HYPERLINK") for row in rows)
    assert any(row["error_type"].startswith("'=Bad") for row in rows)
    for row in rows:
        assert not [
            row[name] for name in ("error", "error_type", "difference") if row[name].startswith(("=", "+", "@"))
        ]


def test_reports_show_text(table: Path, harness: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for arguments in (("show",), ("show", "--markdown")):
        done = harness(*arguments, table, FORCE_COLOR="")
        assert done.returncode == 0, done.stderr
        assert _is_harmless(done.stdout)
        assert "octocat" in done.stdout
    assert "`@octocat`" in done.stdout
    assert "`https://evil.invalid`" in done.stdout


def test_a_run_that_nobody_reads_goes_on_to_its_table(pinned: Callable[[str], Path], tmp_path: Path) -> None:
    selection = "--models length-loop --strategies native --device cpu --restart"
    run = f'"{sys.executable}" -m harness.cli run --python "{pinned("torch2.1")}" --name unread {selection}'
    before = set((ROOT / ".harness" / "scratch").glob("unread/*/*"))
    script = f"set -o pipefail; {run} | head -1; echo ${{PIPESTATUS[*]}} > {tmp_path}/codes"
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, capture_output=True, check=False
    )
    assert (tmp_path / "codes").read_text(encoding="utf-8").split() == ["0", "0"], done.stderr.decode()
    made = set((ROOT / ".harness" / "scratch").glob("unread/*/*")) - before
    assert len([folder for folder in made if (folder / "cells.csv").exists()]) == 1
