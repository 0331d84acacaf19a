"""Facts for outlets: of a comparison under its verdict, of a table, of a candidate without a solution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from harness.bench.environment import canonical
from harness.bench.failure import signature_of
from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.bump.schema import Bump
from harness.diagnosis.rules import Diagnosis
from harness.report.comment import decision_line
from harness.report.commented import worse_causes
from harness.report.diagnoses import diagnosis_of
from harness.report.grids import breakages
from harness.report.obstacles import NoSolution
from harness.report.outlets.facts import Cell, Facts, Figure, Finding, Level, Place, Places, Quantity, Status
from harness.report.wording import detail, models_told, moved_by, notes, outcomes, plain, run_line, state, transition
from harness.tables.schema import Table
from harness.verdict.causes import Cause
from harness.verdict.comparison import CellChange, Comparison, listed
from harness.verdict.expectations import Foreseen
from harness.verdict.gate import Decision, Verdict

_SHORT = 200
_LINE = 1000
_COLUMNS = (
    (Quantity.LATENCY, "latency_ms"),
    (Quantity.MEMORY, "rss_peak_mb"),
    (Quantity.SIZE, "artifact_bytes"),
    (Quantity.CONVERT, "convert_s"),
    (Quantity.ERROR, "relative_error"),
)


def of_comparison(
    comparison: Comparison, verdict: Verdict | None = None, bump: Bump | None = None, places: Places | None = None
) -> Facts:
    """The facts of a comparison; the figures are the candidate's."""
    places = places or Places()
    base, candidate = comparison.base, comparison.candidate
    told = decision_line(comparison, verdict)
    found = [*_causes(comparison, verdict, bump, places), *_others(comparison, verdict, places)]
    return _facts(
        comparison.tables[1],
        subject=f"{base.combination} to {candidate.combination}",
        decision=told,
        cells=tuple(_compared(change, verdict) for change in comparison.changes),
        findings=_ordered(found),
        pinned_in=places.pinned_in,
    )


def of_table(table: Table, foreseen: Foreseen | None = None, places: Places | None = None) -> Facts:
    """The facts of one table. What is broken is an error, unless it was foreseen."""
    places = places or Places()
    known = {record.cell for record, _ in foreseen.expected} if foreseen else set()
    sides = ([r for r in table.records if (r.cell in known) is expected] for expected in (False, True))
    found = []
    for each in (each for side in sides for each in breakages(replace(table, records=side))):
        expected = each.first.cell in known
        rule, cause, remedy = _known(each.first, diagnosis_of(each.first, table.run))
        found.append(
            Finding(
                level=Level.NOTE if expected else Level.ERROR,
                rule=rule or plain(signature_of(each.first) or state(each.first), length=_SHORT),
                title=plain(f"{state(each.first)}{', as expected' if expected else ''}", length=_SHORT),
                message=plain(f"{listed(each.names)}: {detail(each.first)}", length=_LINE),
                cells=tuple(plain(name, length=_SHORT) for name in each.names),
                cause=cause,
                remedy=remedy,
                fingerprint=plain(each.first.fingerprint or "", length=_SHORT),
                place=places.models.get(each.first.model),
            )
        )
    return _facts(
        table,
        subject=table.run.combination,
        decision=f"{run_line(table.run)}: {outcomes(table.records)}",
        cells=tuple(_alone(record, expected=record.cell in known) for record in table.records),
        findings=_ordered(found),
        pinned_in=places.pinned_in,
    )


def of_no_solution(found: NoSolution, places: Places | None = None) -> Facts:
    """The facts of a candidate that has none: no cells, and what stands in the way."""
    places = places or Places()
    findings = [
        Finding(
            level=Level.ERROR,
            rule="no-solution",
            title="These pins have no solution",
            message=plain(words, length=_LINE),
            cause=plain(found.reason, length=_LINE),
            remedy=plain(found.next_step, length=_LINE),
            place=_pin([*names, *(canonical(each.name) for each in found.moves)], places),
        )
        for words, names in zip(found.in_the_way, [[*each.pins] for each in found.obstacles] or [[]], strict=True)
    ]
    return Facts(
        subject=plain(found.base.side.name, length=_SHORT),
        decision=plain(found.headline, length=_LINE),
        started="",
        findings=tuple(findings),
    )


def _facts(
    table: Table,
    *,
    subject: str,
    decision: str,
    cells: tuple[Cell, ...],
    findings: tuple[Finding, ...],
    pinned_in: Place | None,
) -> Facts:
    run = table.run
    labels = {"combination": run.combination, "device": run.device, "tier": run.tier}
    if run.models:
        labels["models"] = models_told(run.models, length=_SHORT)
    counts = Counter(record.outcome for record in table.records)
    return Facts(
        subject=plain(subject, length=_SHORT),
        decision=plain(decision, length=_LINE),
        started=plain(run.started, length=_SHORT),
        cells=cells,
        findings=findings,
        figures=tuple(_figures(table.records)),
        labels={name: plain(value, length=_SHORT) for name, value in labels.items()},
        counts={outcome.value: counts[outcome] for outcome in Outcome},
        pins={plain(name, length=_SHORT): plain(version, length=_SHORT) for name, version in run.pins.items()},
        pinned_in=pinned_in,
    )


def _figures(records: Iterable[Record]) -> Iterator[Figure]:
    for record in records:
        if record.outcome is not Outcome.PASSED:
            continue
        for quantity, column in _COLUMNS:
            value: float | None = getattr(record, column)
            if value is None:
                continue
            iqr = record.latency_iqr_ms if quantity is Quantity.LATENCY else None
            yield Figure(
                model=plain(record.model, length=_SHORT),
                strategy=plain(record.strategy, length=_SHORT),
                quantity=quantity,
                value=value,
                half_iqr=None if iqr is None else iqr / 2,
                care=plain(record.latency_quality or "", length=_SHORT) if quantity is Quantity.LATENCY else "",
            )


def _compared(change: CellChange, verdict: Verdict | None) -> Cell:
    fails = change in verdict.failing if verdict else change.category.worse
    record = change.candidate
    if fails:
        status = Status.FAILS
    elif change.category.untold:
        status = Status.UNTOLD
    else:
        status = Status.PASSED if record and record.outcome is Outcome.PASSED else Status.ASIDE
    by_policy = verdict.by_policy(change) if verdict else ""
    words = f"{change.category.words}: {transition(change)}{f', {by_policy}' if by_policy else ''}"
    return _cell(change.model, change.strategy, status, words, change.reason or detail(record), record)


def _alone(record: Record, *, expected: bool) -> Cell:
    status = Status.PASSED if record.outcome is Outcome.PASSED else Status.ASIDE
    if record.outcome.broken and not expected:
        status = Status.FAILS
    words = f"{state(record)}{', as expected' if expected else ''}"
    return _cell(record.model, record.strategy, status, words, detail(record), record)


def _cell(model: str, strategy: str, status: Status, words: str, error: str, record: Record | None) -> Cell:
    return Cell(
        model=plain(model, length=_SHORT),
        strategy=plain(strategy, length=_SHORT),
        status=status,
        words=plain(words, length=_LINE),
        error=plain(error, length=_LINE),
        seconds=(record.duration_s or 0.0) if record else 0.0,
    )


def _causes(comparison: Comparison, verdict: Verdict | None, bump: Bump | None, places: Places) -> Iterator[Finding]:
    for cause in worse_causes(comparison, verdict):
        record = cause.first.candidate
        known = diagnosis_of(record, comparison.candidate)
        rule, why, remedy = _known(record, known)
        names = [change.name for change in cause.changes]
        packages = _culprits(cause, bump)
        blame = f" Packages to blame: {', '.join(packages)}." if packages else ""
        allowed = verdict is not None and cause.first in verdict.allowed
        yield Finding(
            level=Level.WARNING if allowed else Level.ERROR,
            rule=rule or cause.category.value,
            title=plain(f"{cause.category.words}: {transition(cause.first)}", length=_SHORT),
            message=plain(f"{listed(names)}: {detail(record) or cause.first.reason}{blame}", length=_LINE),
            cells=tuple(plain(name, length=_SHORT) for name in names),
            cause=why,
            remedy=remedy,
            fingerprint=plain(record.fingerprint or "", length=_SHORT) if record else "",
            place=_place(comparison, places, [*packages, *(known.packages if known else ())], cause.first.model),
        )


def _others(comparison: Comparison, verdict: Verdict | None, places: Places) -> Iterator[Finding]:
    """What is no cell's category: native outputs, limits of the policy, and what could not be told."""
    failing = verdict.moved if verdict else comparison.moved_natives

    def finding(level: Level, rule: str, title: str, message: str, model: str = "", *, untold: bool = False) -> Finding:
        place = _place(comparison, places, (), model)
        message = plain(message, length=_LINE)
        title = plain(title, length=_SHORT)
        return Finding(level=level, rule=rule, title=title, message=message, place=place, untold=untold)

    for each in comparison.moved_natives:
        level = Level.ERROR if each in failing else Level.WARNING
        message = f"{each.model}: {moved_by(each)}"
        yield finding(level, "moved-native-output", "PyTorch itself computes something else", message, each.model)
    if verdict is None:
        return
    for drop in verdict.dropped:
        yield finding(Level.ERROR, "accuracy", "accuracy dropped by more than is allowed", str(drop), drop.change.model)
    for grown in verdict.grown:
        yield finding(Level.ERROR, "memory", "memory grew by more than is allowed", str(grown), grown.memory.model)
    for slower in verdict.slower:
        yield finding(Level.ERROR, "latency", "slower than is allowed", str(slower), slower.model)
    if verdict.decision is Decision.CANNOT_TELL:
        message = f"{', '.join(verdict.reasons)}. {' '.join(notes(comparison, verdict))}"
        yield finding(Level.WARNING, "could-not-tell", "could not tell", message, untold=True)


def _known(record: Record | None, found: Diagnosis | None) -> tuple[str, str, str]:
    """The name of a failure's cause, what it is and the remedy; the fingerprint names what no rule knows."""
    if found is not None:
        known_as = f" ({found.known_as})" if found.known_as else ""
        return found.rule, plain(f"{found.cause}{known_as}", length=_LINE), plain(found.remedy, length=_LINE)
    fingerprint = record.fingerprint if record else None
    return plain(fingerprint or "", length=_SHORT), "", ""


def _culprits(cause: Cause, bump: Bump | None) -> list[str]:
    names = {change.name for change in cause.changes}
    return [
        package.name
        for blame in (bump.blames if bump else ())
        if blame.culprits and names & {blame.cell, *blame.cells}
        for package in blame.culprits.packages
    ]


def _pin(packages: Iterable[str], places: Places) -> Place | None:
    return next((places.pins[name] for name in packages if name in places.pins), None)


def _place(comparison: Comparison, places: Places, suspected: Sequence[str], model: str) -> Place | None:
    """The line of a package that moved, of the `suspected` first; else the model's file."""
    moved = [change.name for change in (*comparison.bumped, *comparison.also_differs)]
    first = [name for name in suspected if name in moved]
    return _pin([*first, *moved], places) or places.models.get(model)


def _ordered(found: Iterable[Finding]) -> tuple[Finding, ...]:
    levels = list(Level)
    return tuple(sorted(found, key=lambda each: levels.index(each.level)))
