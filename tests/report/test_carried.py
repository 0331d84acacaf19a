"""What was carried over is said wherever a table, a cell or a comparison is shown, and no zero rests on it alone."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from harness.report.recorded import Recorded, recorded_lines
from harness.report.terminal import foreseen_lines, grid_lines
from harness.tables.schema import NotReproduced, Table
from harness.verdict.comparison import compare
from harness.verdict.evidence import weigh
from harness.verdict.expectations import Foreseen
from tests.tables.samples import passed, table

SEEN, LATER = "2026-01-30T12:00:00Z", "2026-01-31T12:00:00Z"
CELLS = [passed("mlp", name, identity="i" * 16) for name in ("native", "onnx-torchscript")]
AGAIN = NotReproduced(cell="mlp/native", before="passed", now="failed at convert", seen=SEEN)


def at(started: str, *carried: str | None, **of_run: Any) -> Table:
    """A table of both cells; of each the run that saw it, where that was not its own."""
    records = [replace(cell, carried_from=seen) for cell, seen in zip(CELLS, carried, strict=True)]
    made = table(*records)
    return replace(made, run=replace(made.run, started=started, **of_run))


def test_a_grid_says_who_saw_its_cells_and_what_is_not_reproducible() -> None:
    shown = "\n".join(line.plain for line in grid_lines(at(LATER, SEEN, None, not_reproducible=(AGAIN,)), width=120))
    assert f"1 of them carried over, since nothing changed for them: 1 from {SEEN}" in shown
    assert "Not reproducible, with nothing changed" in shown
    assert f"torch2.0/mlp/native: passed in the run of {SEEN}, failed at convert now" in shown
    assert "carried over" not in "\n".join(line.plain for line in grid_lines(at(SEEN, None, None), width=120))


def test_a_night_says_what_is_not_reproducible() -> None:
    made = at(LATER, None, None, not_reproducible=(AGAIN,))
    nothing: Any = {each.name: () for each in fields(Foreseen) if each.name != "missing"}
    foreseen = Foreseen(**nothing, missing=0)
    assert "Not reproducible, with nothing changed" in [
        line.plain for line in foreseen_lines([made], foreseen, width=120)
    ]


def test_a_cell_says_who_saw_it() -> None:
    made = at(LATER, SEEN, SEEN)
    told = Recorded(
        table=made,
        record=made.records[0],
        details=None,
        details_file=None,
        kept=None,
        samples=None,
        alike=[],
        following=[],
        only_the_row="",
    )
    assert any(f"carried over: the run of {SEEN} saw it" in line.plain for line in recorded_lines(told))


def test_a_comparison_says_what_was_carried_over_and_what_is_not_reproducible() -> None:
    notes = compare(at(SEEN, None, None), at(LATER, SEEN, None, not_reproducible=(AGAIN,))).notes
    assert (
        "1 of the candidate's 2 cells were carried over from earlier runs: nothing with a say in them had changed."
    ) in notes
    assert any(note.startswith("Not reproducible in the candidate, with nothing changed: mlp/native") for note in notes)


def test_no_zero_rests_on_executions_that_both_sides_share() -> None:
    once = "every cell that passed on both sides is one and the same execution, carried over"
    whole = weigh(compare(at(SEEN, None, None), at(LATER, SEEN, SEEN)))
    assert once in [lack.reason for lack in whole.lacking]
    half = weigh(compare(at(SEEN, None, None), at(LATER, SEEN, None)))
    assert once not in [lack.reason for lack in half.lacking]
    said = "1 of the 2 cells that passed on both sides is the same execution on both, carried over."
    assert said in half.notes
