"""Tables that were made elsewhere: which are taken, which are refused, and that asking again changes neither."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness import __version__
from harness.bench.errors import UsageError
from harness.tables.finding import Locks, Series
from harness.tables.joining import Awaited, Joined, join
from harness.tables.layout import CELLS, RUN
from harness.tables.reading import read_table
from harness.tables.schema import SCHEMA_VERSION, Table
from harness.tables.writing import write_table
from tests.tables.samples import failed, native, output, passed, table

NOW = datetime(2026, 2, 2, 8, 0, tzinfo=UTC)
LOCK = "0123456789abcdef"
CODE: dict[str, Any] = {"model_digest": "m" * 16, "strategy_digest": "s" * 16}


def awaited(combination: str = "torch2.0", **values: Any) -> Awaited:
    usual: dict[str, Any] = {
        "locks": Locks(own=LOCK, extensions={}),
        "series": tuple(Series(tier="quick", device=device) for device in ("cpu", "cuda")),
        "cells": {("lstm", "native"): ("m" * 16, "s" * 16), ("lstm", "onnx-dynamo"): ("m" * 16, "s" * 16)},
    }
    return Awaited(combination=combination, **{**usual, **values})


ALL = [awaited(), awaited("torch2.1")]


def made(combination: str = "torch2.0", **values: Any) -> Table:
    records = passed("lstm", "native"), failed("lstm", "onnx-dynamo", **CODE)
    usual: dict[str, Any] = {"started": "2026-02-02T03:17:00Z", "harness_version": __version__}
    natives = {"lstm": native(output(1.0, 2.0))}
    return table(*records, combination=combination, natives=natives, **{**usual, **values})


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def joined(tmp_path: Path, *tables: Table) -> Joined:
    """What comes of tables that jobs uploaded, each in a folder of its own."""
    uploads = [tmp_path / f"job{number}" for number, _ in enumerate(tables)]
    for upload, each in zip(uploads, tables, strict=True):
        write_table(upload, each)
    return join(tmp_path / "results", uploads, ALL, now=NOW)


def reasons(of: Joined) -> str:
    return " ".join(each.reason for each in of.refused)


def test_what_every_job_made_is_taken_as_it_is(tmp_path: Path) -> None:
    night = made(), made("torch2.1", device="cuda")
    found = joined(tmp_path, *night)
    assert (found.refused, found.missing, found.passed_over) == ((), (), ())
    assert [(each.table, each.new, each.before) for each in found.taken] == [(each, True, None) for each in night]
    assert files(tmp_path / "results") == files(tmp_path / "job0") | files(tmp_path / "job1")


def test_joining_again_writes_nothing_and_tells_the_same(tmp_path: Path) -> None:
    write_table(tmp_path / "results", made(started="2026-02-01T03:17:00Z"))
    first = joined(tmp_path, made(), made("torch2.1"))
    before = files(tmp_path)
    again = join(tmp_path / "results", [tmp_path / "job1", tmp_path / "job0", tmp_path / "job0"], ALL, now=NOW)
    assert files(tmp_path) == before
    assert [each.new for each in again.taken] == [False, False]
    assert [each.table for each in again.taken] == [each.table for each in first.taken]
    assert [each.before and each.before.run.started for each in again.taken] == ["2026-02-01T03:17:00Z", None]


def test_a_combination_without_a_table_is_named_and_the_other_taken(tmp_path: Path) -> None:
    found = joined(tmp_path, made("torch2.1"))
    assert [str(each) for each in found.missing] == ["torch2.0 on cpu or cuda, tier quick"]
    assert [each.table.run.combination for each in found.taken] == ["torch2.1"]


OTHERS: dict[str, tuple[Table, str]] = {
    "incomplete": (made(missing=[("gru", "native")]), "not complete: gru/native have no record"),
    "of selected cells": (made(selected=True), "of selected cells"),
    "of another lock": (made(lock_digest="f" * 16), "of another lock than torch2.0 has here"),
    "of another harness": (made(harness_version="0.0.1"), "made by harness 0.0.1 with schema"),
    "of another tier": (made(tier="core"), "which is not in the matrix. It has torch2.0 on cpu or cuda"),
    "of another combination": (made("torch9.9"), "of 'torch9.9' on cpu, tier quick, which is not in the matrix"),
    "of own models": (made(models="mine"), "which is not in the matrix"),
    "of a day to come": (made(started="2026-02-03T03:17:00Z"), "which is yet to come"),
    "of fewer cells": (
        table(passed("lstm", "native"), started="2026-02-02T03:17:00Z", harness_version=__version__),
        "not of the cells that this checkout plans: it lacks lstm/onnx-dynamo.",
    ),
    "of other cells": (
        table(passed("lstm", "native"), passed("x", "native"), harness_version=__version__),
        "it lacks lstm/onnx-dynamo; it has x/native.",
    ),
    "of other code": (
        table(
            passed("lstm", "native", model_digest="x" * 16),
            failed("lstm", "onnx-dynamo", **CODE),
            harness_version=__version__,
        ),
        "of other code than this checkout's: lstm/native.",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_this_checkout_did_not_make_is_refused(tmp_path: Path, name: str) -> None:
    other, told = OTHERS[name]
    found = joined(tmp_path, other, made("torch2.1"))
    assert told in reasons(found)
    assert len(found.refused) == 1
    assert [str(each.combination) for each in found.missing] == ["torch2.0"]
    assert files(tmp_path / "results") == files(tmp_path / "job1")


def _stated(folder: Path, **values: Any) -> None:
    run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    (folder / RUN).write_text(json.dumps({**run, **values}), encoding="utf-8")


def _renamed(folder: Path, combination: str) -> None:
    for path in (folder / RUN, folder / CELLS):
        path.write_text(path.read_text(encoding="utf-8").replace("torch2.0", combination), encoding="utf-8")


def _outside(folder: Path) -> None:
    (folder / CELLS).unlink()
    (folder / CELLS).symlink_to("/etc/passwd")


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link": (_outside, "cells.csv is a link"),
    "a script": (lambda folder: (folder / "conftest.py").write_text("boom"), "conftest.py does not belong to a table"),
    "a folder": (lambda folder: (folder / "lock+x.txt").mkdir(), "lock+x.txt does not belong to a table"),
    "a pipe": (lambda folder: os.mkfifo(folder / "lock+x.txt"), "lock+x.txt does not belong to a table"),
    "a place outside": (lambda folder: _renamed(folder, "../../up"), "of '../../up' on cpu, tier quick, which is not"),
    "a name that is markup": (lambda folder: _renamed(folder, "<b>@all</b>"), "of '<b>@all</b>' on cpu, tier quick"),
    "rows of another run": (lambda folder: _stated(folder, tier="core"), "cells.csv: row 1"),
    "a newer schema": (lambda folder: _stated(folder, schema_version=SCHEMA_VERSION + 1), "newer"),
    "JSON without an end": (lambda folder: (folder / RUN).write_text("[" * 100_000), "not valid JSON"),
    "no table at all": (lambda folder: (folder / CELLS).write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
    "half of it": (lambda folder: (folder / CELLS).write_bytes((folder / CELLS).read_bytes()[:-40]), "cells.csv"),
    "too much": (lambda folder: os.truncate(folder / CELLS, 300 << 20), "cells.csv has 300 MiB"),
}
"""What is done to a table after it was made, and what is said of it."""


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_table_of_ours_is_refused_and_the_other_taken(tmp_path: Path, name: str) -> None:
    harm, told = HOSTILE[name]
    harm(write_table(tmp_path / "bad", made()))
    write_table(tmp_path / "good", made("torch2.1"))
    found = join(tmp_path / "results", [tmp_path / "bad", tmp_path / "good"], ALL, now=NOW)
    assert len(found.refused) == 1
    assert told in reasons(found)
    assert [each.table.run.combination for each in found.taken] == ["torch2.1"]
    assert {path.name for path in tmp_path.iterdir()} == {"bad", "good", "results"}
    assert files(tmp_path / "results") == files(tmp_path / "good")


def test_a_linked_folder_is_not_looked_into(tmp_path: Path) -> None:
    write_table(tmp_path / "elsewhere", made())
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "torch2.0").symlink_to(tmp_path / "elsewhere" / "torch2.0")
    assert join(tmp_path / "results", [tmp_path / "job"], ALL, now=NOW).taken == ()
    assert not (tmp_path / "results").exists()


def test_two_tables_of_a_series_that_contradict_are_both_refused(tmp_path: Path) -> None:
    other = made(started="2026-02-02T04:00:00Z")
    records = tuple(replace(each, fingerprint="0" * 8) if each.fingerprint else each for each in other.records)
    found = joined(tmp_path, made(), replace(other, records=records), made("torch2.1"))
    assert [each.reason for each in found.refused] == [
        "contradicts another table of the same series, where lstm/onnx-dynamo came to something else. Run it again."
    ] * 2
    assert [each.combination for each in found.missing] == ["torch2.0"]
    assert files(tmp_path / "results") == files(tmp_path / "job2")


def test_two_tables_of_one_start_with_other_numbers_contradict(tmp_path: Path) -> None:
    found = joined(tmp_path, made(), made(loadavg=(9.0, 9.0, 9.0)))
    assert [each.reason for each in found.refused] == [
        "contradicts another table of the same start. Run the combination again."
    ] * 2


def test_of_two_that_say_the_same_the_newer_is_taken(tmp_path: Path) -> None:
    newer = made(started="2026-02-02T04:00:00Z")
    found = joined(tmp_path, newer, made(), made("torch2.1"))
    assert [each.table for each in found.taken] == [newer, made("torch2.1")]
    assert found.passed_over == (tmp_path / "job1" / "torch2.0" / "cpu-quick" / "20260202T031700Z",)
    assert not found.refused


def test_a_table_that_is_here_with_other_content_stays(tmp_path: Path) -> None:
    write_table(tmp_path / "results", made(loadavg=(9.0, 9.0, 9.0)))
    before = files(tmp_path / "results")
    found = joined(tmp_path, made())
    assert "there is another table already" in reasons(found)
    assert files(tmp_path / "results") == before


def test_an_older_table_than_the_newest_here_is_not_of_this_night(tmp_path: Path) -> None:
    write_table(tmp_path / "results", made(started="2026-02-02T05:00:00Z"))
    found = joined(tmp_path, made())
    assert "older than 20260202T050000Z, which is here" in reasons(found)
    assert [each.combination for each in found.missing] == ["torch2.0", "torch2.1"]


def test_the_table_before_is_the_newest_whole_one_of_whatever_lock(tmp_path: Path) -> None:
    results = tmp_path / "results"
    expected = write_table(results, made(started="2026-01-30T03:17:00Z", lock_digest="e" * 16))
    write_table(results, made(started="2026-01-31T03:17:00Z", missing=[("gru", "native")]))
    broken = write_table(results, made(started="2026-02-01T03:17:00Z"))
    (broken / CELLS).write_text("cut short", encoding="utf-8")
    (one,) = joined(tmp_path, made()).taken
    assert one.before == read_table(expected)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such folder\. Name the folders that hold what the other runs made"):
        join(tmp_path / "results", [tmp_path / "nothing"], ALL, now=NOW)


def test_a_writer_that_was_killed_leaves_nothing_that_is_taken(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "job", made())
    shutil.move(folder, folder.with_name(f".{folder.name}.partial"))
    found = join(tmp_path / "results", [tmp_path / "job"], ALL, now=NOW)
    assert (found.taken, found.refused) == ((), ())
