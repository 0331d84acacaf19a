"""Both sides judged by the base's tolerance: rule 6 of a comparison."""

from __future__ import annotations

from dataclasses import replace

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.verdict.seen import Row, Seen


def by_tolerance_of(base: Record, candidate: Record) -> tuple[Record, str]:
    """The candidate's record as the base's tolerance judges it, and why it is not as recorded."""
    beyond = beyond_tolerance(base, candidate)
    if beyond is None:
        return candidate, ""
    stage, reason = beyond
    return replace(candidate, outcome=Outcome.MISMATCHED, stage=stage, difference=reason), reason


def beyond_tolerance(base: Row, candidate: Row) -> tuple[Stage, str] | None:
    """Of a candidate that passed, the stage at which it does not by the base's tolerance, and how that is told."""
    if candidate.outcome is not Outcome.PASSED or base.tolerance is None:
        return None
    for stage, error in ((Stage.MATCH, candidate.relative_error), (Stage.PROBE, candidate.probes_relative_error)):
        # Written so that what is no number is above.
        if error is not None and not error <= base.tolerance:
            own = "none" if candidate.tolerance is None else f"{candidate.tolerance:.0e}"
            return stage, (
                f"the candidate's relative error of {error:.1e} is above the base's tolerance of {base.tolerance:.0e} "
                f"(its own was {own})"
            )
    return None


def as_mismatched(candidate: Row, stage: Stage) -> Row:
    """A row of a cell that passed, as one that is mismatched at a stage."""
    if isinstance(candidate, Seen):
        return candidate._replace(outcome=Outcome.MISMATCHED, stage=stage)
    return replace(candidate, outcome=Outcome.MISMATCHED, stage=stage)
