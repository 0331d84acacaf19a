"""Faults injected into real tables, and what `harness gate` makes of them: never a zero without evidence.

The tables are the committed ones of torch2.0's quick tier; the candidate is the same run as another combination would
have had it, which a gate lets through. Each test then breaks one thing.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.cli import cli
from harness.tables.consistency import lock_digest
from harness.tables.layout import CELLS, RUN
from harness.tables.reading import read_table
from harness.tables.schema import Table
from harness.tables.writing import write_table
from tests.tables.samples import launches_of, write_attempt

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = ROOT / "results" / "torch2.0" / "cpu-quick" / "20261121T100027Z"
LATER = "2026-11-22T10:00:00Z"
LATEST = "2026-11-23T10:00:00Z"


@pytest.fixture(scope="module")
def committed() -> Table:
    return read_table(COMMITTED)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with the combinations `old` and `new`, their locks, and no results."""
    checkout = tmp_path / "checkout"
    for name in ("old", "new"):
        lock_again(checkout, name, "1.16.0")
    return checkout


def lock_again(root: Path, name: str, version: str) -> str:
    """Pin `six` and lock that, as `harness lock` would; the lock's digest."""
    (root / "matrices" / "locks").mkdir(parents=True, exist_ok=True)
    (root / "matrices" / f"{name}.in").write_text(f"# python: 3.11\nsix=={version}\n")
    text = f"#    uv pip compile --python-version 3.11 --output-file={name}\nsix=={version}\n"
    (root / "matrices" / "locks" / f"{name}.txt").write_text(text)
    return lock_digest(text)


def as_run(root: Path, table: Table, name: str, *, started: str = LATER, **values: Any) -> Table:
    """`table` as a run of the combination `name` in the checkout, of its lock as it is."""
    digest = lock_digest((root / "matrices" / "locks" / f"{name}.txt").read_text())
    run = replace(table.run, **{"combination": name, "started": started, "lock_digest": digest, **values})
    records = tuple(replace(each, combination=name, tier=run.tier, device=run.device) for each in table.records)
    counted = replace(run, planned=len(records) + len(run.missing), recorded=len(records), complete=not run.missing)
    launches = tuple(launch for each in records for launch in launches_of(each))
    return replace(table, run=counted, records=records, launches=launches)


def put(root: Path, table: Table, name: str, **values: Any) -> Path:
    return write_table(root / "results", as_run(root, table, name, **values))


@pytest.fixture
def sides(root: Path, committed: Table) -> tuple[Path, Path]:
    """The tables of `old` and `new`, which a gate lets through."""
    return put(root, committed, "old"), put(root, committed, "new")


def gate(root: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--root", str(root), "gate", *map(str, arguments or ("old", "new"))])


def told(result: Result, code: int, *parts: str) -> None:
    """The exit code is `code`, and each of `parts` is said, wherever lines are broken."""
    said = " ".join(f"{result.stdout} {result.stderr}".replace("\\\n", " ").split())
    assert result.exit_code == code, said
    for part in parts:
        assert part in said
    assert "Traceback" not in said


def edit(folder: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    """Write `cells.csv` anew with its rows changed."""
    with (folder / CELLS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / CELLS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(change(rows))


def edit_run(folder: Path, **values: Any) -> None:
    stated = json.loads((folder / RUN).read_text())
    (folder / RUN).write_text(json.dumps({**stated, **values}))


def without(table: Table, drop: Callable[[Record], bool]) -> Table:
    return replace(table, records=tuple(each for each in table.records if not drop(each)))


def mapped(table: Table, change: Callable[[Record], Record], **values: Any) -> Table:
    return replace(table, records=tuple(map(change, table.records)), **values)


def at_install(record: Record) -> Record:
    """A record of the same cell where its environment could not be installed."""
    return Record(
        combination=record.combination,
        extension=record.extension,
        model=record.model,
        strategy=record.strategy,
        device=record.device,
        tier=record.tier,
        outcome=Outcome.FAILED,
        stage=Stage.INSTALL,
        error_type="InstallError",
        error="no wheels with a matching platform tag",
        fingerprint="0badcafe",
    )


def unresolvable(record: Record) -> Record:
    return replace(at_install(record), outcome=Outcome.UNRESOLVABLE, stage=Stage.RESOLVE, error_type="NoSolution")


def test_what_is_broken_here_would_have_merged(root: Path, sides: tuple[Path, Path]) -> None:
    rests = "which rests on 32 cells of 10 models that passed on both sides"
    told(gate(root), 0, f"may merge: nothing is worse among 50 cells, {rests}")
    told(gate(root, *sides), 0, rests)


# Rows cut, doubled, dropped; a tier changed in run.json; models that vanished; selected against full: 2 or 3.


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda rows: rows[:-1], "cut short, 49 rows where run.json says 50"),
        (lambda rows: [*rows, rows[3]], "not of this run, 51 rows"),
        (lambda rows: [*rows[:-1], rows[0]], "repeats the cell of row 1"),
    ],
)
def test_rows_that_were_cut_doubled_or_dropped(
    root: Path, sides: tuple[Path, Path], side: int, change: Callable[..., Any], part: str
) -> None:
    edit(sides[side], change)
    told(gate(root), 2, part)


@pytest.mark.parametrize("side", [0, 1])
def test_a_table_cut_in_the_middle_of_a_row(root: Path, sides: tuple[Path, Path], side: int) -> None:
    content = (sides[side] / CELLS).read_bytes()
    (sides[side] / CELLS).write_bytes(content[: len(content) // 2])
    told(gate(root), 2, "cells.csv")


@pytest.mark.parametrize("side", [0, 1])
def test_a_tier_changed_in_run_json(root: Path, sides: tuple[Path, Path], side: int) -> None:
    edit_run(sides[side], tier="core")
    told(gate(root), 2, "column 'tier': 'quick', and run.json says 'core'")


def test_rows_dropped_with_their_counts(root: Path, committed: Table) -> None:
    """Models that vanished: the rows, and what `run.json` says of them."""
    put(root, without(committed, lambda each: each.model == "lstm"), "old")
    put(root, without(committed, lambda each: each.model == "resnet18"), "new")
    told(gate(root), 3, "5 cells missing in candidate, 5 cells missing in base")


def test_selected_cells_against_the_full_tier(root: Path, committed: Table, sides: tuple[Path, Path]) -> None:
    few = without(committed, lambda each: each.model != "lstm")
    folder = put(root, few, "new", started=LATEST, selected=True)
    told(gate(root), 0)
    told(gate(root, "old", folder), 3, "45 cells missing in candidate")


def test_core_against_quick_and_the_reverse(root: Path, committed: Table, sides: tuple[Path, Path]) -> None:
    core = read_table(ROOT / "results" / "torch2.0" / "cpu-core" / "20261121T092931Z")
    folder = put(root, core, "old")
    told(gate(root, folder, sides[1]), 3, "that passed in the base were not run in the candidate")


# Both sides failed at install (no network), both unresolvable: 3; and no such table disarms later gates.


@pytest.mark.parametrize("broken", [at_install, unresolvable])
def test_both_sides_could_not_be_had(root: Path, committed: Table, broken: Callable[[Record], Record]) -> None:
    for name in ("old", "new"):
        put(root, mapped(committed, broken, natives={}), name, packages={}, python="")
    told(gate(root), 3, "the base did not get past installing", "old.in until", "lock old", "resolves its pins")


@pytest.mark.parametrize("broken", [at_install, unresolvable])
def test_a_candidate_that_cannot_be_had_is_worse(
    root: Path, committed: Table, sides: tuple[Path, Path], broken: Callable[[Record], Record]
) -> None:
    put(root, mapped(committed, broken, natives={}), "new", started=LATEST, packages={}, python="")
    told(gate(root), 1, "32 cells newly failing")


def test_a_run_of_pins_without_a_solution_is_found_by_its_name(
    root: Path, committed: Table, sides: tuple[Path, Path]
) -> None:
    """From the lock to the verdict: what a run records of its lock is what a name is held against."""
    (root / "matrices" / "locks" / "new.txt").unlink()
    reason = "# python: 3.11\n# six==1.16.0\n\nNo solution found: six==1.16.0 needs what there is not.\n"
    (root / "matrices" / "locks" / "new.unresolvable").write_text(reason)
    command = [sys.executable, "-m", "harness.cli", "--root", str(root), "run", "new", "--device", "cpu"]
    done = subprocess.run(
        [*command, "--matrix", str(ROOT / "matrices" / "nightly.toml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told(gate(root), 1, "32 cells newly failing", "passed -> unresolvable")


def test_a_base_that_could_not_be_had_does_not_disarm_the_gates_after_it(
    root: Path, committed: Table, sides: tuple[Path, Path]
) -> None:
    put(root, mapped(committed, at_install, natives={}), "old", started=LATEST, packages={}, python="")
    told(gate(root), 3, "the base did not get past installing")


# A model whose five cells fail at build on both sides: 3.


@pytest.mark.parametrize(
    ("outcome", "error_type"),
    [(Outcome.FAILED, "ValueError"), (Outcome.CRASHED, "SIGSEGV"), (Outcome.TIMED_OUT, "Timeout")],
)
def test_a_model_that_fails_at_build_on_both_sides(
    root: Path, committed: Table, outcome: Outcome, error_type: str
) -> None:
    def broken(each: Record) -> Record:
        if each.model != "lstm":
            return each
        return replace(at_install(each), outcome=outcome, stage=Stage.BUILD, error_type=error_type, error="no weights")

    natives = {model: native for model, native in committed.natives.items() if model != "lstm"}
    for name in ("old", "new"):
        put(root, mapped(committed, broken, natives=natives), name)
    state = f"lstm ({outcome.value.replace('-', ' ')} at build)"
    told(gate(root), 3, f"the native cell of 1 model is broken in the base: {state}")


# Newer incomplete candidate, pins edited after the run, both sides one folder, no native outputs on both sides,
# no probes: no silent 0.


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_newer_table_that_is_incomplete(root: Path, committed: Table, sides: tuple[Path, Path], name: str) -> None:
    first = committed.records[0]
    cut = replace(committed, records=committed.records[1:])
    newer = put(root, cut, name, started=LATEST, missing=(f"{first.model}/{first.strategy}",), ended=None)
    told(gate(root), 3, f"a newer table of {name}, {newer.name}, is not complete")
    told(gate(root, *sides), 0)


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_newer_run_that_is_paused(root: Path, committed: Table, sides: tuple[Path, Path], name: str) -> None:
    folder = root / ".harness" / "attempts" / name / "cpu-quick-0123456789ab"
    cause = "no space is left"
    write_attempt(folder, committed.records[:3], combination=name, state="paused", started=LATEST, cause=cause)
    told(gate(root), 3, f"a run of {name} that began at {LATEST} is paused (no space is left)")
    told(gate(root, *sides), 0)
    write_attempt(folder.with_name("cpu-core-0123456789ab"), (), combination=name, state="paused", tier="core")
    shutil.rmtree(folder)
    told(gate(root), 0)


@pytest.mark.parametrize("name", ["old", "new"])
def test_pins_edited_after_the_run(root: Path, sides: tuple[Path, Path], name: str) -> None:
    (root / "matrices" / f"{name}.in").write_text("# python: 3.11\nsix==1.17.0\n")
    told(gate(root), 2, f"Run `harness lock {name}`")
    was = lock_digest((root / "matrices" / "locks" / f"{name}.txt").read_text())
    now = lock_again(root, name, "1.17.0")
    told(gate(root), 3, f"is of the lock {was}, and the lock of {name} is {now} now", f"Run `harness run {name} --tier")
    told(gate(root, *sides), 0)


def test_a_bump_in_place_is_judged_by_the_path_of_the_table_before(
    root: Path, committed: Table, sides: tuple[Path, Path]
) -> None:
    lock_again(root, "old", "1.17.0")
    put(root, committed, "old", started=LATEST)
    told(gate(root, sides[0], "old"), 0, "which rests on 32 cells")


def test_both_sides_are_one_folder(root: Path, sides: tuple[Path, Path], tmp_path: Path) -> None:
    told(gate(root, "old", "old"), 3, "both sides are one table", "Next: name the tables of two runs.")
    told(gate(root, sides[0], "old"), 3, "both sides are one table")
    shutil.copytree(sides[0], tmp_path / "copy")
    told(gate(root, sides[0], tmp_path / "copy"), 3, "both sides are one table")


NO_NATIVES = "Neither side has native outputs, so whether PyTorch itself computes something else is not told."


def test_no_native_outputs_on_both_sides(root: Path, committed: Table) -> None:
    for name in ("old", "new"):
        put(root, replace(committed, natives={}), name)
    told(gate(root), 0, NO_NATIVES)


def bare(record: Record) -> Record:
    """A record of a static artifact: all its probes were skipped."""
    ran = record.probes_total is not None
    return replace(record, probes_passed=0 if ran else None, probes_skipped=record.probes_total)


def test_no_probes(root: Path, committed: Table) -> None:
    passing = mapped(committed, lambda each: bare(each) if each.outcome is Outcome.PASSED else each)
    for name in ("old", "new"):
        put(root, passing, name)
    told(gate(root), 0, "32 of the 32 cells that passed on both sides did so without any probe")


def test_probes_that_the_candidate_lost(root: Path, committed: Table, sides: tuple[Path, Path]) -> None:
    """All skipped, and one that `forward` rejects now, so that neither side's cells would tell."""
    passing = mapped(committed, lambda each: bare(each) if each.outcome is Outcome.PASSED else each)
    put(root, passing, "new", started=LATEST)
    told(gate(root), 3, "32 cells that passed probes in the base pass without any now: ", "Fewer probes passed than in")
    lstm = committed.natives["lstm"]
    *kept, lost = lstm.outputs
    fewer = replace(lstm, outputs={name: lstm.outputs[name] for name in kept})
    less = replace(committed, natives={**committed.natives, "lstm": fewer})
    put(root, less, "new", started="2026-11-24T10:00:00Z")
    told(gate(root), 1, "native output of 1 model moved", f"no native output for the probe '{lost}'")


def test_neither_probes_nor_native_outputs(root: Path, committed: Table) -> None:
    passing = mapped(committed, lambda each: bare(each) if each.outcome is Outcome.PASSED else each, natives={})
    for name in ("old", "new"):
        put(root, passing, name)
    told(gate(root), 3, "no cell passed a probe on both sides, and no native outputs can be held against each other")


def test_nothing_passes(root: Path, committed: Table) -> None:
    def failing(each: Record) -> Record:
        if each.outcome is not Outcome.PASSED or each.strategy == "native":
            return each
        return replace(at_install(each), stage=Stage.CONVERT)

    conversions = without(mapped(committed, failing), lambda each: each.strategy == "native")
    for name in ("old", "new"):
        put(root, conversions, name)
    told(gate(root), 3, "nothing passes in the candidate")


# An outcome edited to `passed` under its old stage and error; relative error 9.9e10 under `passed`: refused on reading.


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("command", ["gate", "compare", "show"])
def test_an_outcome_edited_to_passed(root: Path, sides: tuple[Path, Path], side: int, command: str) -> None:
    def change(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        first = next(row for row in rows if row["outcome"] == "failed")
        return [{**row, "outcome": "passed"} if row is first else row for row in rows]

    edit(sides[side], change)
    arguments = [sides[side]] if command == "show" else ["old", "new"]
    result = CliRunner().invoke(cli, ["--root", str(root), command, *map(str, arguments)])
    told(
        result,
        2,
        f"{sides[side] / CELLS}: row ",
        "contradicts itself: 'outcome' is passed, and 'stage' is convert, where a passed cell ends in measure, or "
        "untimed in probe; 'outcome' is passed, and 'error_type', 'error', 'fingerprint', 'operator' say that "
        "something went wrong",
        "Restore the table from git, or make it again with `harness run`.",
    )


@pytest.mark.parametrize("side", [0, 1])
def test_a_relative_error_of_another_world_under_passed(root: Path, sides: tuple[Path, Path], side: int) -> None:
    def change(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        first = next(row for row in rows if row["outcome"] == "passed")
        return [{**row, "relative_error": "9.9e+10"} if row is first else row for row in rows]

    edit(sides[side], change)
    told(gate(root), 2, "'outcome' is passed, and 'relative_error' 9.900e+10 is above 'tolerance' 1.000e-04")


# What is named by the issue beside the faults.


def test_the_newest_of_a_few_cells_no_longer_hides_that_of_many(root: Path, committed: Table) -> None:
    """Runs with extensions are a series of their own, mentioned where both sides have one, read where asked for."""
    many = read_table(ROOT / "results" / "torch2.0" / "cpu-quick+extensions" / "20261121T091043Z")
    for name in ("old", "new"):
        for extension, version in (("litert", "1"), ("tools", "2")):
            lock_again(root, f"{name}+{extension}", version)
        digests = {e: lock_digest((root / f"matrices/locks/{name}+{e}.txt").read_text()) for e in many.run.extensions}
        extensions = {e: replace(each, lock_digest=digests[e]) for e, each in many.run.extensions.items()}
        put(root, many, name, extensions=extensions)
        put(root, committed, name, started=LATEST)
    told(gate(root), 0, "which rests on 32 cells", "There are tables of runs with extensions too: --extensions reads")
    told(gate(root, "old", "new", "--extensions"), 0, "which rests on 127 cells of 10 models")
    lock_again(root, "new+tools", "3")
    told(gate(root, "old", "new", "--extensions"), 3, "of other locks of its extensions")
    told(gate(root), 0)


def test_auto_is_the_device_of_both_sides(root: Path, committed: Table, sides: tuple[Path, Path]) -> None:
    on_gpu = mapped(committed, lambda each: replace(each, provider=None))
    put(root, on_gpu, "old", device="cuda")
    told(gate(root), 0, "old: cpu, tier quick")
    put(root, on_gpu, "new", device="cuda")
    told(gate(root), 0, "old: cuda, tier quick")
    told(gate(root, "old", "new", "--device", "cpu"), 0, "old: cpu, tier quick")


def test_a_wider_tolerance_does_not_make_a_pass(root: Path, committed: Table, sides: tuple[Path, Path]) -> None:
    def wide(each: Record) -> Record:
        if each.outcome is not Outcome.PASSED or each.strategy == "native":
            return each
        return replace(each, tolerance=1e-2, relative_error=5e-3)

    put(root, mapped(committed, wide), "new", started=LATEST)
    told(gate(root), 1, "22 cells mismatched", "is above the base's tolerance of 1e-04 (its own was 1e-02)")


def test_the_verdict_is_the_same_as_a_process_and_as_markdown(root: Path, sides: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "harness.cli", "--root", str(root), "gate", "old", "new"]
    for arguments, code in (((), 0), (("--markdown",), 0), (("--tier", "core"), 2)):
        done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert ("which rests on 32 cells of 10 models that passed on both sides" in done.stdout) is (code == 0)
