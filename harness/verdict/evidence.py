"""What a verdict rests on: whether two tables can tell at all that nothing is worse.

A comparison finds nothing worse where nothing was there to be worse. So a zero needs cells that passed on both sides,
in two runs, of models whose native output the base could compute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.bench.stages import Outcome
from harness.tables.finding import Unfinished
from harness.tables.schema import BASELINE, Run, Table
from harness.verdict.comparison import NOT_INSTALLED, Comparison, count_of, listed
from harness.verdict.seen import Row

_BARE = "no cell passed a probe on both sides, and no native outputs can be held against each other"
_AS_THEY_ARE = "or name the folders of both tables to compare them as they are."
_UNFINISHED = f"let that come to its end, {_AS_THEY_ARE}"


@dataclass(frozen=True, kw_only=True)
class Lack:
    """Why two tables cannot tell, and what to do about it."""

    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a zero would rest on.

    `cells` of `models` passed on both sides. `lacking` says why that is not enough, empty where it is; `notes` are
    what else to know of it.
    """

    cells: int
    models: int
    lacking: tuple[Lack, ...]
    notes: tuple[str, ...]

    @property
    def words(self) -> str:
        """`31 cells of 10 models that passed on both sides`."""
        return f"{count_of(self.cells)} of {models_of(self.models)} that passed on both sides"


def models_of(count: int) -> str:
    """`1 model`, `2 models`."""
    return f"{count} model{'' if count == 1 else 's'}"


def weigh(comparison: Comparison, *, unfinished: Iterable[Unfinished] = ()) -> Evidence:
    """What `comparison` rests on.

    `unfinished` is what is newer than one of the tables and has not come to its end.
    """
    base, candidate = comparison.tables
    passed = [
        (each.base, each.candidate) for each in comparison.compared if each.base and each.candidate and each.passed
    ]
    bare = [(before, after) for before, after in passed if not (before.probes_passed and after.probes_passed)]
    once = sum(_is_one_execution(comparison, before, after) for before, after in passed)
    lacking = [*_of_sides(comparison), *_of_natives(comparison), *_of_not_run(comparison), *_of_probes(comparison)]
    lacking += [Lack(reason=each.reason, remedy=_going_on(each)) for each in unfinished]
    if not any(record.outcome is Outcome.PASSED for record in comparison.rows[1]):
        remedy = f"find out why nothing passes in {candidate.run.combination}: `harness show` of its table tells."
        lacking.append(Lack(reason="nothing passes in the candidate", remedy=remedy))
    elif not passed:
        lacking.append(Lack(reason="no cell passed on both sides", remedy="choose a base whose cells pass."))
    elif passed == bare and not {change.model for change in comparison.natives} & {before.model for before, _ in bare}:
        lacking.append(Lack(reason=_BARE, remedy="give the models probes, and run both sides again."))
    notes = []
    if passed and once == len(passed):
        reason = "every cell that passed on both sides is one and the same execution, carried over"
        lacking.append(Lack(reason=reason, remedy="run the candidate without --changed."))
    elif once:
        of = f"{once} of the {count_of(len(passed))} that passed on both sides"
        notes.append(f"{of} {'is' if once == 1 else 'are'} the same execution on both, carried over.")
    if bare:
        of = f"{len(bare)} of the {count_of(len(passed))} that passed on both sides"
        notes.append(f"{of} did so without any probe, on one side or on both.")
    if not base.natives and not candidate.natives:
        notes.append("Neither side has native outputs, so whether PyTorch itself computes something else is not told.")
    return Evidence(
        cells=len(passed),
        models=len({before.model for before, _ in passed}),
        lacking=tuple(lacking),
        notes=(*notes, *_native_notes(comparison)),
    )


def _going_on(unfinished: Unfinished) -> str:
    """What to do about a run that did not come to its end."""
    return f"`{unfinished.command}` goes on with it; {_AS_THEY_ARE}" if unfinished.command else _UNFINISHED


def _is_one_execution(comparison: Comparison, before: Row, after: Row) -> bool:
    """Whether both records of a cell are of one run of it, which was carried over: they cannot but agree."""
    if not (before.carried_from or after.carried_from) or before.identity != after.identity:
        return False
    seen = before.seen_at(comparison.base.started), after.seen_at(comparison.candidate.started)
    return before.combination == after.combination and seen[0] == seen[1]


def one_run(base: Table, candidate: Table) -> bool:
    """Whether both tables are of one run, or one and the same: holding those against each other tells nothing."""
    if base.folder is not None and base.folder == candidate.folder:
        return True
    return _run_key(base.run) == _run_key(candidate.run)


def _run_key(run: Run) -> tuple[object, ...]:
    return run.combination, run.extension, run.device, run.tier, run.started, run.identity, run.machine


def _of_sides(comparison: Comparison) -> list[Lack]:
    found = []
    base, candidate = comparison.tables
    if one_run(base, candidate):
        found.append(Lack(reason="both sides are one table", remedy="name the tables of two runs."))
    for side, run, rows in zip(("base", "candidate"), (base.run, candidate.run), comparison.rows, strict=True):
        if not run.complete:
            reason = f"the {side} has {run.recorded} of {run.planned} planned cells"
            found.append(Lack(reason=reason, remedy=_UNFINISHED))
        if _not_installed(rows):
            remedy = f"mend the pins of {run.combination} until its environment can be had, then run it again."
            found.append(Lack(reason=f"the {side} did not get past installing", remedy=remedy))
    return found


def _not_installed(rows: Sequence[Row]) -> bool:
    return bool(rows) and all(row.stage in NOT_INSTALLED for row in rows)


def _of_not_run(comparison: Comparison) -> list[Lack]:
    lost = sum(record.outcome is Outcome.PASSED for record in comparison.not_run)
    if not lost:
        return []
    verb = "was" if lost == 1 else "were"
    reason = f"{count_of(lost)} that passed in the base {verb} not run in the candidate"
    return [Lack(reason=reason, remedy="run the candidate with the base's tier and extensions.")]


def _of_probes(comparison: Comparison) -> list[Lack]:
    """The cells that passed probes in the base, and pass on their example alone in the candidate."""
    bare = [
        each.name
        for each in comparison.compared
        if each.base and each.candidate and each.passed and each.base.probes_passed and not each.candidate.probes_passed
    ]
    if not bare:
        return []
    verb, their = ("passes", "its") if len(bare) == 1 else ("pass", "their")
    return [
        Lack(
            reason=f"{count_of(len(bare))} that passed probes in the base {verb} without any now: {listed(bare)}",
            remedy=f"find out why none of {their} probes runs any more: `probes_skipped` in the table counts those "
            f"that an artifact of fixed shape cannot take; a probe that forward rejects is in none of its columns.",
        )
    ]


def _of_natives(comparison: Comparison) -> list[Lack]:
    """The models that the base has no native output of: whatever their conversions do there, it means nothing."""
    if _not_installed(comparison.rows[0]):
        return []  # which says it all
    broken = [
        record
        for record in _native_records(comparison)
        if record.outcome.broken and not _in_train_mode(comparison.tables[0], record)
    ]
    if not broken:
        return []
    named = (f"{each.model} ({each.outcome.value.replace('-', ' ')} at {each.stage.value})" for each in broken)
    return [
        Lack(
            reason=f"the native cell of {models_of(len(broken))} is broken in the base: {', '.join(named)}",
            remedy=f"find out why {broken[0].model} does not run in PyTorch itself there, or choose another base.",
        )
    ]


def _native_notes(comparison: Comparison) -> list[str]:
    """The models whose native cell does not pass in the base, and need not, or is not there."""
    base, records = comparison.tables[0], _native_records(comparison)
    never = [record.model for record in records if record.outcome is Outcome.NOT_APPLICABLE]
    trained = [record.model for record in records if record.outcome.broken and _in_train_mode(base, record)]
    without = sorted(_compared_models(comparison) - {record.model for record in records})
    said = (
        (never, "Native is not applicable in the base for"),
        (trained, "Left in train mode, so that native itself does not match:"),
        (without, "The base has no native cell of"),
    )
    return [f"{words} {models_of(len(names))}: {', '.join(names)}." for names, words in said if names]


def _native_records(comparison: Comparison) -> list[Row]:
    """The base's native cells of the models that are compared."""
    models = _compared_models(comparison)
    return [r for r in comparison.rows[0] if r.strategy == BASELINE and r.model in models]


def _compared_models(comparison: Comparison) -> set[str]:
    return {change.cell[0] for change in comparison.compared if change.base is not None}


def _in_train_mode(table: Table, record: Row) -> bool:
    """Whether a native cell mismatches since its model was left in train mode, which the harness says of it."""
    native = table.natives.get(record.model)
    return record.outcome is Outcome.MISMATCHED and native is not None and native.train_mode
