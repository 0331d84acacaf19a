"""What reports tell of a broken cell beyond its error."""

from __future__ import annotations

from dataclasses import replace

from harness.bench.record import Record
from harness.bench.stages import Stage
from harness.report import markdown
from harness.report.diagnoses import told_of
from tests.tables.samples import failed, mismatched, passed, table

KNOWN = {
    "error_type": "AttributeError",
    "error": "'float' object has no attribute 'node'",
    "fingerprint": "928a255bf043",
}


def _told(record: Record, **packages: str) -> dict[str, str]:
    run = table(record, packages=packages).run
    return dict(told_of(record, run))


def test_a_known_failure_is_told_with_cause_and_remedy() -> None:
    record = failed("ranker", "onnx-torchscript", Stage.CONVERT, **KNOWN)
    told = _told(record, torch="2.1.0")
    assert list(told) == ["cause", "known as", "remedy"]
    assert told["known as"] == "the same as `attention-scale`, pytorch#135615, in torch >=2.1,<2.5, mended in torch 2.5"
    assert _told(record, torch="2.6.0") == {}


def test_an_unknown_failure_is_told_by_operator_and_place() -> None:
    record = failed("ranker", "onnx-torchscript", operator="Gather", place="~/models/ranker.py:12")
    assert _told(record) == {"about": "Gather, ~/models/ranker.py:12"}
    assert _told(failed("ranker", "onnx-torchscript")) == {}


def test_a_mismatch_is_told_where_it_begins() -> None:
    record = mismatched("ranker", "onnx-torchscript", begins_at="aten.add at head; node /Add")
    assert _told(record) == {"begins at": "aten.add at head; node /Add"}


def test_a_cause_that_was_not_recorded_is_said_to_be_so() -> None:
    record = failed("ranker", "onnx2tf", error_type="SystemExit", error="the tool ended the process: SystemExit(1)")
    assert _told(replace(record, fingerprint=None))["cause"].startswith("not recorded")
    assert _told(record) == {}


def test_what_passed_is_told_nothing_of() -> None:
    assert _told(passed("ranker", "native")) == {}


def test_the_markdown_of_a_grid_has_it_in_a_column_of_its_own() -> None:
    known = failed("ranker", "onnx-torchscript", Stage.CONVERT, **KNOWN)
    shown = markdown.grid(table(known, passed("ranker", "native"), packages={"torch": "2.1.0"}))
    assert "| what is known of it |" in shown
    assert "cause: The exporter takes the scale= of scaled" in shown.replace("\\", "")
