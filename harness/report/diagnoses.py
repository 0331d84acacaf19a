"""What is told of a broken cell beyond its error: where it begins, its cause where that is known, and what to do."""

from __future__ import annotations

from harness.bench.record import Record
from harness.bench.roots import is_wrapping
from harness.diagnosis.rules import Diagnosis, diagnose
from harness.report.wording import plain
from harness.tables.schema import Run
from harness.verdict.expectations import packages_of

_NOT_RECORDED = "not recorded: the run kept what was put around the error alone. Run the cell again."


def diagnosis_of(record: Record | None, run: Run) -> Diagnosis | None:
    """What the rules know of a record of `run`; None where they do not, and where nothing is broken."""
    return diagnose(record, packages_of(run, record.extension)) if record else None


def told_of(record: Record | None, run: Run) -> list[tuple[str, str]]:
    """Label and text of what is known of a broken record of `run`; nothing of others.

    Of what no rule knows, the operator, and the place in the model or the graph, as far as its error names them. Of
    what an older run recorded without its cause, just that.
    """
    if record is None or not record.outcome.broken:
        return []
    found = diagnosis_of(record, run)
    shown = [("begins at", record.begins_at or "")]
    if found is None and record.fingerprint is None and is_wrapping(record.error_type or "", record.error or ""):
        shown.append(("cause", _NOT_RECORDED))
    elif found is None:
        shown.append(("about", ", ".join(part for part in (record.operator, record.place) if part)))
    else:
        shown += [("cause", found.cause), ("known as", found.known_as), ("remedy", found.remedy)]
    return [(label, plain(text)) for label, text in shown if text]
