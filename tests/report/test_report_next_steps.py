"""What to do next, told as a command that can be typed."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench.record import Record
from harness.bench.stages import Stage
from harness.report.comment import comment
from harness.report.next_steps import Asked, Reader, look_at, next_step
from harness.report.terminal import grid_lines
from harness.tables.schema import Table
from harness.verdict.comparison import WORSE, compare
from harness.verdict.gate import judge
from tests.report import comparisons
from tests.report.test_report_details import grid_text_at
from tests.tables.samples import failed, passed, table


def test_the_command_that_is_told_finds_the_code_that_a_users_models_import() -> None:
    before, after = table(passed("m", "native"), passed("m", "s")), table(passed("m", "native"), failed("m", "s"))
    run = replace(after.run, models="models/", paths=("src", "../my code"))
    comparison = compare(replace(before, run=replace(before.run, models="models/")), replace(after, run=run))
    told = next_step(comparison, judge(comparison))
    assert "--models models/ --path src --path '../my code' --strategies s --tier quick --device cpu`" in told


def test_whoever_has_a_checkout_alone_is_told_what_works_there() -> None:
    before, after = table(passed("m", "native"), passed("m", "s")), table(passed("m", "native"), failed("m", "s"))
    names = ("requirements-aaaaaaaa", "requirements-bbbbbbbb")
    pins = ({"torch": "2.0.1"}, {"torch": "2.1.0"})
    sides = [
        replace(each, run=replace(each.run, combination=name, pins=pinned), folder=Path("made/tables/t"))
        for each, name, pinned in zip((before, after), names, pins, strict=True)
    ]
    comparison = compare(*sides)
    verdict = judge(comparison)
    assert all(each in comment(comparison, verdict) for each in ("`harness explain made/tables", *names))
    given = {names[0]: None, names[1]: Asked(file="my pins.txt", options=" --python-version 3.11")}
    told = comment(comparison, verdict, reader=Reader(tables=False, given=given))
    shown = told.partition("<details>")[0]
    assert (
        "Next: `harness run --requirements 'my pins.txt' --python-version 3.11 --models m --strategies s --tier quick "
        "--device cpu` runs the first of them alone. Hold back torch until it is mended." in shown
    )
    assert "made/tables" not in told
    assert "harness bump" not in told, "the base is of this machine alone"
    nothing = Reader(tables=False, given=dict.fromkeys(names))
    assert next_step(comparison, verdict, reader=nothing) == "Hold back torch until it is mended."
    base = Reader(given={names[0]: Asked(file="old.txt", options=" --all")})
    assert "`harness bump old.txt torch==2.1.0 --all --tier quick" in comment(comparison, verdict, reader=base)


def test_where_it_is_known_which_version_mends_it_that_is_where_to_move_on_to() -> None:
    def candidate(*records: Record) -> Table:
        return table(*records, pins={"torch": "2.1.0"}, packages={"torch": "2.1.0"})

    known = comparisons.invalid_graph("e", "onnx-torchscript")
    base = table(passed("e", "onnx-torchscript"), passed("f", "s"), pins={"torch": "2.0.1"})
    mended = compare(base, candidate(known, passed("f", "s")))
    assert next_step(mended, None).endswith(" alone. Move on to torch 2.1.1, where it is known to be mended.")
    half = compare(base, candidate(known, failed("f", "s")))
    assert next_step(half, None).endswith(
        "Hold back torch until all of it is mended: torch 2.1.1 is known to mend 1 of 2 causes."
    )
    unknown = compare(base, candidate(passed("e", "onnx-torchscript"), failed("f", "s")))
    assert next_step(unknown, None).endswith(" alone. Hold back torch until it is mended.")


def test_what_to_do_next_for_own_models_names_the_cell_and_works_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = (table(passed("own", "s")), table(failed("own", "s")))
    folder = tmp_path / "results" / "torch2.1" / "cpu-quick+models-x" / "20260101T000000Z"
    before = replace(before, run=replace(before.run, models="tok-types=pkg:make"))
    after = replace(after, run=replace(after.run, models="tok-types=pkg:make"), folder=folder)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    step = next_step(compare(before, after), None)
    assert f"`harness rerun ../{folder.relative_to(tmp_path)}/own/s` runs the first of them alone." in step


def test_what_was_recorded_is_shown_by_a_command_that_finds_the_table_and_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "a root"
    folder = root / ".harness" / "scratch" / "t" / "cpu-quick" / "20260101T000000Z"
    broken = replace(table(failed("own", "s"), failed("own", "t", Stage.CONVERT)), folder=folder)
    comparison = compare(table(passed("own", "s"), passed("own", "t")), broken)
    (root / "matrices").mkdir(parents=True)
    monkeypatch.chdir(root)
    command = "`harness explain .harness/scratch/t/cpu-quick/20260101T000000Z/own/s`"
    assert look_at(comparison, judge(comparison)) == f"{command} shows all that was recorded of the first of them."
    assert grid_lines(broken, width=200)[-1].plain == f"Next: {look_at(comparison, None)}"
    monkeypatch.chdir(tmp_path)
    words = shlex.split(look_at(comparison, None).split("`")[1])
    assert words[:4] == ["harness", "--root", "a root", "explain"]
    assert words[4:] == [f"{os.path.relpath(folder)}/own/s"]


def test_there_is_nothing_to_look_at_where_nothing_broke_or_the_environment_did() -> None:
    good = replace(table(passed("m", "s")), folder=Path("results/t"))
    assert not look_at(compare(good, good), None)
    assert "Next" not in "\n".join(grid_text_at(good, width=100))
    pins = comparisons.unresolvable()
    assert pins.of(*WORSE)
    assert not look_at(replace(pins, tables=(pins.tables[0], replace(pins.tables[1], folder=Path("t")))), None)


@pytest.mark.parametrize("side", [0, 1])
def test_pins_without_a_solution_are_edited_where_they_are_and_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "torch2.7.in").touch()
    monkeypatch.chdir(tmp_path)
    good, none = comparisons.unresolvable().tables
    comparison = compare(*((none, good) if side == 0 else (good, none)))
    step = next_step(comparison, None)
    assert step.startswith("edit matrices/torch2.7.in until its environment can be had: `harness lock torch2.7` ")
    assert "`harness run torch2.7 --tier quick --device cpu` installs and runs them." in step
    (tmp_path / "matrices" / "torch2.7.in").unlink()
    assert next_step(comparison, None).startswith("mend the pins of torch2.7 until")
