"""What of a night is to be looked at."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.schema import NotReproduced, Table
from harness.verdict.comparison import compare
from harness.verdict.expectations import Expectation, Foreseen, foresee
from harness.verdict.night import Night, Tonight, newly_unexpected
from tests.tables.samples import failed, native, output, passed, table

TODAY = datetime.date(2026, 2, 1)


def tonight(before: Table, now: Table) -> Tonight:
    return Tonight(table=now, comparison=compare(before, now))


def test_a_night_like_the_last_one_is_nothing_to_look_at() -> None:
    same = table(passed("lstm", "native"), failed("lstm", "onnx-dynamo"))
    slower = table(passed("lstm", "native", latency_ms=9.0), failed("lstm", "onnx-dynamo"))
    assert not Night(tables=(tonight(same, same), tonight(same, slower))).changed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (passed("lstm", "native"), failed("lstm", "native")),
        (failed("lstm", "native"), passed("lstm", "native")),
        (failed("lstm", "native"), failed("lstm", "native", fingerprint="0" * 8)),
        (failed("lstm", "native"), failed("lstm", "native", Stage.CONVERT)),
    ],
)
def test_another_outcome_is(before: Record, after: Record) -> None:
    rest = passed("gru", "native")
    found = tonight(table(before, rest), table(after, rest))
    assert [each.name for each in found.changes] == ["lstm/native"]
    assert Night(tables=(found,)).changed


def test_what_another_commit_did_is_not() -> None:
    edited = passed("lstm", "native", model_digest="x" * 16)
    found = tonight(table(passed("lstm", "native"), passed("gone", "native")), table(edited, passed("new", "native")))
    assert not found.changes
    assert not found.changed


def test_a_moved_native_output_is() -> None:
    sides = [table(passed("lstm", "native"), natives={"lstm": native(output(*values))}) for values in ((1.0,), (2.0,))]
    assert [each.model for each in tonight(*sides).moved] == ["lstm"]
    assert tonight(*sides).changed


def test_a_table_that_is_the_first_is_nothing_to_look_at_by_itself() -> None:
    assert not Tonight(table=table(failed("lstm", "native")), comparison=None).changed


@pytest.mark.parametrize("values", [{"missing": ("torch2.1 on cpu",)}, {"refused": (("job", "not complete"),)}])
def test_what_is_missing_or_refused_is(values: dict[str, tuple[str, ...]]) -> None:
    night = Night(tables=(), **values)  # type: ignore[arg-type]
    assert (night.whole, night.changed) == (False, True)


def _foreseen(made: Table, *, expires: datetime.date, today: datetime.date) -> Foreseen:
    known = Expectation(
        name="expect.0", outcome=Outcome.FAILED, reason="upstream", expires=expires, cells=("*/lstm/native",)
    )
    return foresee([made], [known], today=today)


def test_a_cell_that_nobody_expects_any_more_is_found_once() -> None:
    made = table(failed("lstm", "native"), failed("gru", "native"))
    yesterday = TODAY - datetime.timedelta(days=1)
    now, before = (_foreseen(made, expires=yesterday, today=day) for day in (TODAY, yesterday))
    assert [each.model for each in newly_unexpected(now, before)] == ["lstm"]
    assert newly_unexpected(now, now) == ()
    assert [each.model for each in newly_unexpected(now, None)] == ["gru", "lstm"]
    assert newly_unexpected(None, before) == ()
    night = replace(tonight(made, made), unexpected=newly_unexpected(now, before))
    assert [each.model for each in night.findings] == ["lstm"]
    assert night.changed


def test_an_unexpected_cell_that_changed_is_told_as_changed_alone() -> None:
    before, now = table(passed("lstm", "native")), table(failed("lstm", "native"))
    found = replace(tonight(before, now), unexpected=tuple(now.records))
    assert (len(found.changes), found.findings) == (1, ())


def test_a_cell_that_is_not_reproducible_is_found_though_its_table_is_the_first() -> None:
    made = table(passed("lstm", "native"))
    again = NotReproduced(cell="lstm/native", before="failed at load", now="passed", seen="2026-01-30T03:17:00Z")
    made = replace(made, run=replace(made.run, not_reproducible=(again,)))
    assert Tonight(table=made, comparison=None).changed
