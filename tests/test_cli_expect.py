"""`harness expect`, and what expectations do to what the other commands tell, over the committed tables."""

from __future__ import annotations

import datetime
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.cli.policies import expectations, foreseen_of
from harness.matrix.expecting import FILE, read
from harness.tables.reading import read_table
from harness.tables.schema import Table
from harness.tables.writing import write_table
from tests.documents import committed_results

ROOT = Path(__file__).resolve().parents[1]
MATRIX = 'combinations = ["torch2.0", "torch2.1"]\n'
CELL = "torch2.1/embedding-new-zeros/onnx-torchscript"
TOMORROW = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with the committed tables of two combinations, and no expectations."""
    for name in ("torch2.0", "torch2.1"):
        shutil.copytree(ROOT / "results" / name / "cpu-quick", tmp_path / "results" / name / "cpu-quick")
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "nightly.toml").write_text(MATRIX, encoding="utf-8")
    return tmp_path


def newest(root: Path, name: str) -> Table:
    return read_table(max((root / "results" / name / "cpu-quick").iterdir()))


def broken(root: Path, *names: str) -> int:
    return sum(record.outcome.broken for name in names for record in newest(root, name).records)


def harness(root: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--root", str(root), *map(str, arguments)], prog_name="harness")


def entry(cells: str = CELL, **values: str) -> str:
    keys = {"outcome": '"failed"', "reason": '"as upstream has it"', "expires": str(TOMORROW), **values}
    return f'[[expect]]\ncells = ["{cells}"]\n' + "".join(f"{key} = {value}\n" for key, value in keys.items())


def put(root: Path, *texts: str) -> None:
    (root / FILE).write_text("\n".join(texts), encoding="utf-8")


def filled(root: Path) -> None:
    """The proposals of the command itself, whose reasons are all known."""
    assert harness(root, "expect", "--write").exit_code == 0


def otherwise(root: Path, **values: Any) -> str:
    """A newer table of torch2.1 in which the canary breaks otherwise; the fingerprint that it had."""
    made = newest(root, "torch2.1")
    (fingerprint,) = {each.fingerprint for each in made.records if each.cell_id.startswith(CELL) if each.fingerprint}
    records = tuple(replace(each, **values) if each.fingerprint == fingerprint else each for each in made.records)
    write_table(root / "results", replace(made, records=records, run=replace(made.run, started="2026-11-23T10:00:00Z")))
    return str(fingerprint)


def test_proposals_are_of_what_was_seen_and_nothing_else(root: Path) -> None:
    told = harness(root, "expect")
    count = broken(root, "torch2.0", "torch2.1")
    assert told.exit_code == 0, told.output
    assert not (root / FILE).exists()
    assert "TODO" not in told.output
    put(root, told.stdout)
    checked = harness(root, "expect", "--check")
    assert checked.exit_code == 0, checked.output
    assert f"{count} broken cells, all of them expected" in checked.stdout
    entries = read(root / FILE)
    assert [each.link for each in entries if "embedding" in each.cells[0]] == [
        "https://github.com/pytorch/pytorch/issues/110597"
    ]
    for each in entries:
        assert not set("*?") & set("".join(each.cells))
        assert each.versions["torch"] == ("==2.0.1" if each.cells[0].startswith("torch2.0") else "==2.1.0")
        assert "onnxruntime-gpu" in each.versions
        assert "tensorflow" not in each.versions
        assert 85 <= (each.expires - datetime.datetime.now(datetime.UTC).date()).days <= 93
    again = harness(root, "expect")
    assert (again.exit_code, again.stdout) == (0, "")
    assert f"nothing to propose: {count} cells broken, all of them expected." in again.stderr


def test_what_is_written_is_appended_and_needs_reasons(root: Path) -> None:
    otherwise(root, error_type="OddError", error="what nobody has seen", fingerprint="0d0d0d0d0d0d")
    put(root, "# mine\n" + entry("torch2.0/*/*", expires="2026-01-01"))
    before = (root / FILE).read_text(encoding="utf-8")
    told = harness(root, "expect", "torch2.1", "--write", "--expires", str(TOMORROW))
    assert told.exit_code == 0, told.output
    assert f"{broken(root, 'torch2.1')} cells in 4 entries, appended to" in told.stderr
    assert "Give each reason = 'TODO' one of yours" in told.stderr
    after = (root / FILE).read_text(encoding="utf-8")
    assert after.startswith(before)
    assert after.count(f"expires = {TOMORROW}") == 4
    for command in (["show", "torch2.1"], ["expect", "--check"], ["expect", "--write"], ["run", "torch2.1"]):
        refused = harness(root, *command)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "says nothing yet; write why this is so" in refused.stderr
    assert (root / FILE).read_text(encoding="utf-8") == after


def test_a_check_fails_on_what_is_not_expected_alone(root: Path) -> None:
    filled(root)
    count = broken(root, "torch2.0", "torch2.1")
    fingerprint = otherwise(root, fingerprint="000000000000")
    told = harness(root, "expect", "--check")
    assert told.exit_code == 1, told.output
    assert f"{count} broken cells: {count - 2} expected, 2 unexpected" in told.stdout
    assert "torch2.1: broken, and not expected" in told.stdout
    said = " ".join(told.stdout.split())
    assert (
        f"{CELL}: expect.6 of expectations.toml expects failed at load ({fingerprint}), and it came to failed" in said
    )
    proposed = harness(root, "expect")
    assert "Amend that entry, or take it out." in proposed.stderr
    assert proposed.stdout.count("[[expect]]") == 1
    shown = harness(root, "show", "torch2.1")
    assert shown.exit_code == 0
    section = shown.stdout.partition("\nBroken, and not expected\n")[2].partition("Broken, as expected")
    assert "embedding-new-zeros/onnx-torchscript" in section[0]
    assert "custom-operator/onnx-torchscript" in section[2]
    assert "no symbolic function is registered with the exporter; until" in " ".join(section[2].split())


def test_without_any_expectation_a_check_fails_and_nothing_else_changes(root: Path) -> None:
    told = harness(root, "expect", "--check")
    assert told.exit_code == 1
    count = broken(root, "torch2.0", "torch2.1")
    assert f"{count} broken cells: 0 expected, {count} unexpected" in told.stdout
    assert "Broken, as expected" not in harness(root, "show", "torch2.0").stdout


def test_what_expired_quiets_nothing_and_is_not_proposed_again(root: Path) -> None:
    put(root, entry(CELL + "*", expires="2026-01-01"))
    told = harness(root, "expect", "torch2.1", "--check")
    assert told.exit_code == 1
    assert "Expired, and quiet nothing any more" in told.stdout
    assert "expect.0 of expectations.toml, on 2026-01-01" in told.stdout
    proposed = harness(root, "expect", "torch2.1")
    assert f"{CELL}: expect.0 of expectations.toml expired on 2026-01-01. Prolong it" in proposed.stderr
    assert "embedding-new-zeros" not in proposed.stdout
    assert proposed.stdout.count("[[expect]]") == 3


def test_what_passes_and_what_never_matched_is_told_and_fails_nothing(root: Path) -> None:
    filled(root)
    with (root / FILE).open("a", encoding="utf-8") as file:
        file.write(entry("torch2.1/resnet18/onnx-torchscript"))
        file.write(entry("torch2.1/resnet81/onnx-torchscript"))
        file.write(entry("torch2.9/resnet18/onnx-torchscript"))
    told = harness(root, "expect", "--check")
    assert told.exit_code == 0, told.output
    said = " ".join(told.stdout.split())
    assert "Passing, though expected to break torch2.1/resnet18/onnx-torchscript: expect.8 of expectations.toml" in said
    assert "Never matched, though these tables could have had such a cell expect.9 of expectations.toml:" in said
    assert "Of other tables than these expect.10 of expectations.toml: torch2.9/" in said
    assert "Passing, though expected to break" in harness(root, "show", "torch2.1").stdout
    as_markdown = harness(root, "show", "torch2.1", "--markdown").stdout
    assert "| broken, as expected | outcome | why |" in as_markdown
    assert "| passing, though expected to break | outcome | why |" in as_markdown


def test_expectations_never_change_a_gate(root: Path) -> None:
    before = harness(root, "gate", "torch2.0", "torch2.1")
    assert before.exit_code == 1
    filled(root)
    put(root, (root / FILE).read_text(encoding="utf-8"), entry("*/*/*"))
    assert harness(root, "expect", "--check").exit_code == 0
    after = harness(root, "gate", "torch2.0", "torch2.1")
    assert (after.exit_code, after.stdout) == (before.exit_code, before.stdout)
    for command in ("gate", "compare"):
        told = [harness(root, command, "torch2.0", "torch2.1", "--markdown")]
        put(root, "no TOML at all")
        told.append(harness(root, command, "torch2.0", "torch2.1", "--markdown"))
        assert told[0].stdout == told[1].stdout


def test_an_incomplete_table_leaves_a_check_open(root: Path) -> None:
    filled(root)
    folder = max((root / "results" / "torch2.1" / "cpu-quick").iterdir())
    run = (folder / "run.json").read_text(encoding="utf-8")
    run = run.replace('"planned": 70', '"planned": 71').replace('"complete": true', '"complete": false')
    run = run.replace('"missing": []', '"missing": ["gru/native"]')
    (folder / "run.json").write_text(run, encoding="utf-8")
    told = harness(root, "expect", folder, "--check")
    assert told.exit_code == 3, told.output
    assert "Without a record" in told.stdout


def test_a_newer_run_that_did_not_come_to_its_end_leaves_a_check_open(root: Path) -> None:
    filled(root)
    assert harness(root, "expect", "torch2.1", "--check").exit_code == 0
    folder = max((root / "results" / "torch2.1" / "cpu-quick").iterdir())
    newer = Path(shutil.copytree(folder, folder.parent / "20991122T100000Z")) / "run.json"
    newer.write_text(newer.read_text(encoding="utf-8").replace('"complete": true', '"complete": false'), "utf-8")
    told = harness(root, "expect", "torch2.1", "--check")
    assert told.exit_code == 3, told.output
    assert "a newer table of torch2.1, 20991122T100000Z, is not complete" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--check", "--write"], "--check proposes nothing: leave out --write and --expires, or leave out --check."),
        (["--expires", "2020-01-01"], "--expires 2020-01-01: that day has passed."),
        (["--expires", "soon"], "does not match the format"),
        (["--expectations", "none.toml"], "none.toml: no such file of expectations."),
        (["torch20"], "Did you mean 'torch2.0'?"),
    ],
)
def test_wrong_use_is_told(root: Path, arguments: list[str], told: str) -> None:
    result = harness(root, "expect", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


def test_another_file_of_expectations_is_read_and_written(root: Path) -> None:
    path = root / "mine.toml"
    assert harness(root, "expect", "--write", "--expectations", path).exit_code == 0
    assert path.is_file()
    assert not (root / FILE).exists()
    assert harness(root, "expect", "--check", "--expectations", path).exit_code == 0


@pytest.mark.parametrize("name", ["torch2.0", "torch2.1"])
def test_what_is_committed_as_known_is_what_the_committed_tables_have(name: str) -> None:
    """Mended by `harness expect --write`, where an entry met a cell before and does not now."""
    made = read_table(max((committed_results() / name / "cpu-quick").iterdir()))
    found = foreseen_of(made, expectations(ROOT))
    assert found is not None
    assert found.expected
    assert not found.unexpected, [each.cell_id for each in found.unexpected]
    assert not found.passing
    assert not found.never
