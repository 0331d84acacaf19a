"""Two tables compared, cell by cell. A cell is the same where model, strategy and device are.

The rules, in this order:

1. A cell that only one table has is `missing-in-base` or `missing-in-candidate`. Where the tiers differ, the larger
   tier's further cells are left out, since the other run never planned them.
2. Where the model's code or the bits of its weights changed, the two are not the same cell: `not-comparable`.
3. `not-applicable` on both sides is `unchanged`, whatever the reasons. From not-applicable to anything else is
   `newly-applicable`: the base never ran it, so nothing got worse. From passed to not-applicable is
   `no-longer-applicable`, which is worse. From broken to not-applicable, nothing that worked was lost:
   `failing-differently`.
4. Passed on both sides is `unchanged`; numbers stand beside it. From broken to passed is `fixed`. From passed to
   mismatched is `mismatched`, from passed to any other break is `newly-failing`.
5. From any other break to mismatched is `mismatched` too: it failed loudly before and is silently wrong now, which is
   worse though it came further. An environment that could not be had said nothing of the cell: that follows rule 7.
6. Both sides are judged by the base's tolerance: what passed in the candidate by a wider one of its own, with an error
   above the base's, counts as mismatched there.
7. Broken on both sides otherwise: at an earlier stage is `failing-earlier`, at a later one `failing-later`, at the same
   stage with another outcome or another fingerprint `failing-differently`, else `unchanged`; so where an older run
   recorded no cause. An environment that could
   not be resolved or installed is broken at the first stages, and follows the same rule.

Beside the cells, each model's native outputs are held against each other, by the rules of `harness.verdict.natives`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.collection import no_collection
from harness.tables.lazy import ByColumns, Lazy, at
from harness.tables.schema import Run, Table, place_of
from harness.verdict.environments import PackageChange, also_differs, bumped, numbers_left_out, run_notes
from harness.verdict.latencies import LatencyChanges, latency_changes
from harness.verdict.natives import NativeChange, changed_code, compare_natives, moved, natives_notes
from harness.verdict.numbers import NumberChange, error_grew, number_changes
from harness.verdict.parts import launches_of
from harness.verdict.planned import beyond_extensions, beyond_tier
from harness.verdict.seen import Key, Row, seen
from harness.verdict.shifts import MemoryChanges, memory_changes
from harness.verdict.tolerance import as_mismatched, beyond_tolerance

NOT_INSTALLED = (Stage.RESOLVE, Stage.INSTALL)
"""The stages of a cell whose environment could not be had."""

_NAMED = 5


class Category(Enum):
    """What became of a cell between two tables, the worst first."""

    NEWLY_FAILING = "newly-failing"
    MISMATCHED = "mismatched"
    FAILING_EARLIER = "failing-earlier"
    NO_LONGER_APPLICABLE = "no-longer-applicable"
    FIXED = "fixed"
    FAILING_LATER = "failing-later"
    NEWLY_APPLICABLE = "newly-applicable"
    FAILING_DIFFERENTLY = "failing-differently"
    NOT_COMPARABLE = "not-comparable"
    MISSING_IN_CANDIDATE = "missing-in-candidate"
    MISSING_IN_BASE = "missing-in-base"
    UNCHANGED = "unchanged"

    @property
    def words(self) -> str:
        """The category as it reads in a sentence."""
        return self.value.replace("-", " ")

    @property
    def worse(self) -> bool:
        """Whether something that worked is lost, or a failure came earlier or became silent."""
        return self in WORSE

    @property
    def untold(self) -> bool:
        """Whether the two tables cannot say what became of the cell."""
        return self in UNTOLD


WORSE = frozenset(
    {Category.NEWLY_FAILING, Category.MISMATCHED, Category.FAILING_EARLIER, Category.NO_LONGER_APPLICABLE}
)
UNTOLD = frozenset({Category.NOT_COMPARABLE, Category.MISSING_IN_CANDIDATE, Category.MISSING_IN_BASE})

MEANINGS: Mapping[Category, str] = {
    Category.NEWLY_FAILING: "passed before, and fails, crashes, times out or runs out of memory now",
    Category.MISMATCHED: "runs, and its output is wrong now; before, it passed or failed loudly",
    Category.FAILING_EARLIER: "broken before and now, at an earlier stage now",
    Category.NO_LONGER_APPLICABLE: "passed before, and cannot exist now",
    Category.FIXED: "broken before, passes now",
    Category.FAILING_LATER: "broken before and now, at a later stage now: progress",
    Category.NEWLY_APPLICABLE: "could not exist before, and was tried now, whatever its outcome",
    Category.FAILING_DIFFERENTLY: (
        "broken before and now at the same stage, with another cause or outcome; or broken before, and cannot exist now"
    ),
    Category.NOT_COMPARABLE: "the model's code or the bits of its weights differ between the sides",
    Category.MISSING_IN_CANDIDATE: "recorded in the base only",
    Category.MISSING_IN_BASE: "recorded in the candidate only",
    Category.UNCHANGED: "the same as before; numbers may differ",
}


@dataclass(frozen=True, kw_only=True)
class CellChange:
    """One cell on both sides.

    A side is None where the cell is missing there; `reason` says why the two are not comparable.
    """

    model: str
    strategy: str
    device: str
    category: Category
    base: Record | None
    candidate: Record | None
    reason: str = ""
    numbers: tuple[NumberChange, ...] = ()

    @property
    def name(self) -> str:
        """The cell without its combination: `resnet18/onnx-torchscript:16`."""
        return f"{self.model}/{self.strategy}"

    @property
    def passed(self) -> bool:
        """Whether it passed on both sides, by the base's tolerance."""
        if self.category is not Category.UNCHANGED or self.base is None or self.candidate is None:
            return False
        return self.base.outcome is Outcome.PASSED and self.candidate.outcome is Outcome.PASSED


class Compared(NamedTuple):
    """One cell on both sides, by what a comparison asks of it; a `CellChange` has its records and numbers, too."""

    cell: Key
    category: Category
    base: Row | None
    candidate: Row | None
    reason: str = ""

    @property
    def name(self) -> str:
        """The cell without its combination: `resnet18/onnx-torchscript:16`."""
        return f"{self.cell[0]}/{self.cell[1]}"

    @property
    def passed(self) -> bool:
        """Whether it passed on both sides, by the base's tolerance."""
        if self.category is not Category.UNCHANGED or self.base is None or self.candidate is None:
            return False
        return self.base.outcome is Outcome.PASSED and self.candidate.outcome is Outcome.PASSED


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All cells of two tables, the native outputs of their models, and what differs between their environments.

    `changes` are the cells of `compared`, in the same order, as reports want them; those of large tables are made when
    they are asked for. `rows` are all cells of each side, and `not_run` the base's that the candidate's run never had,
    being of a smaller tier or without an extension.
    `numbers_left_out` says why latency and memory are left out; empty where they are compared. `memory` and `latency`
    are what those of the cells that pass on both sides did.
    """

    tables: tuple[Table, Table]
    rows: tuple[Sequence[Row], Sequence[Row]]
    compared: tuple[Compared, ...]
    changes: Sequence[CellChange]
    not_run: tuple[Row, ...]
    natives: tuple[NativeChange, ...]
    bumped: tuple[PackageChange, ...]
    also_differs: tuple[PackageChange, ...]
    notes: tuple[str, ...]
    numbers_left_out: str
    memory: MemoryChanges
    latency: LatencyChanges

    @property
    def base(self) -> Run:
        """What the base's table is of."""
        return self.tables[0].run

    @property
    def candidate(self) -> Run:
        """What the candidate's table is of."""
        return self.tables[1].run

    def of(self, *categories: Category) -> tuple[CellChange, ...]:
        """The changes of these categories, in the order of cells."""
        return self.where(lambda each: each.category in categories)

    def where(self, wanted: Callable[[Compared], bool]) -> tuple[CellChange, ...]:
        """The changes of the cells that are wanted, in the order of cells."""
        return at(self.changes, [place for place, each in enumerate(self.compared) if wanted(each)])

    @property
    def moved_natives(self) -> tuple[NativeChange, ...]:
        """The models of which the framework itself computes something else, beyond rounding."""
        return moved(self.natives)

    @property
    def counts(self) -> dict[Category, int]:
        """How many cells each category has; categories without any are left out."""
        counts = Counter(each.category for each in self.compared)
        return {category: counts[category] for category in Category if counts[category]}


def count_of(cells: int) -> str:
    """`1 cell`, `2 cells`."""
    return f"{cells} cell{'' if cells == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """The first few of `names`, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def categories_markdown() -> str:
    """The documentation of the categories, as a Markdown table."""
    verdicts = dict.fromkeys(WORSE, "worse") | dict.fromkeys(UNTOLD, "cannot tell")
    rows = [f"| `{c.value}` | {verdicts.get(c, 'nothing worse')} | {MEANINGS[c]} |" for c in Category]
    return "\n".join(["| category | to the gate | meaning |", "|---|---|---|", *rows])


def compare(base: Table, candidate: Table, *, notes: Sequence[str] = ()) -> Comparison:
    """Compare two tables of one device, by the rules above. `notes` are what the finder of the tables has to say.

    Raises `UsageError` where the devices differ.
    """
    with no_collection():
        return _compared(base, candidate, notes)


def _compared(base: Table, candidate: Table, notes: Sequence[str]) -> Comparison:
    if base.run.device != candidate.run.device:
        msg = (
            f"the base is of device {base.run.device!r} and the candidate of {candidate.run.device!r}, so they share "
            "no cell. Compare two tables of one device."
        )
        raise UsageError(msg)
    left_out_since = numbers_left_out(base.run, candidate.run)
    rows = seen(base), seen(candidate)
    before, after = ({row.cell: row for row in side} for side in rows)
    unshared = beyond_extensions(base.run, candidate.run, before, after)
    left_out = beyond_tier(base.run, candidate.run, before, after) - unshared.keys()
    code = {model: changed_code(model, base, candidate) for model in base.natives}
    compared = tuple(
        _compared_cell(key, before.get(key), after.get(key), code.get(key[0], ()))
        for key in sorted(before.keys() | after.keys(), key=place_of)
        if key not in left_out and key not in unshared
    )
    said = [*notes, *run_notes(base.run, candidate.run)]
    if unshared:
        names = sorted(set(unshared.values()))
        said.append(
            f"Only one side ran the extension{'' if len(names) == 1 else 's'} {', '.join(names)}: "
            f"{count_of(len(unshared))} left out. Run both sides with --extensions to compare them."
        )
    if base.run.tier != candidate.run.tier:
        said.append(
            f"The tiers differ ({base.run.tier} and {candidate.run.tier}): {count_of(len(compared))} compared, and "
            f"{len(left_out)} that only the larger tier has left out."
        )
    said += _digest_notes(compared)
    said += _error_notes(compared)
    said += _probe_notes(compared)
    said += _not_had_notes(compared)
    # What passed on both sides, and by numbers that mean the same.
    passed = [(c.base, c.candidate) for c in compared if c.base and c.candidate and c.passed and not left_out_since]
    natives = compare_natives(base, candidate)
    said += natives_notes(base, candidate, natives)
    return Comparison(
        tables=(base, candidate),
        rows=rows,
        compared=compared,
        changes=_changes(compared, (base, before), (candidate, after), same_machine=not left_out_since),
        not_run=tuple(row for key, row in before.items() if key in left_out or key in unshared),
        natives=natives,
        bumped=bumped(base.run, candidate.run),
        also_differs=also_differs(base.run, candidate.run),
        notes=tuple(said),
        numbers_left_out=left_out_since,
        memory=memory_changes(passed, launches=(launches_of(base), launches_of(candidate))),
        latency=latency_changes(passed),
    )


def _changes(
    compared: Sequence[Compared], *sides: tuple[Table, Mapping[Key, Row]], same_machine: bool
) -> Sequence[CellChange]:
    """The cells with their records and numbers, made when they are asked for where those of a table are."""

    def make(places: Sequence[int]) -> tuple[CellChange, ...]:
        chosen = [compared[place] for place in places]
        before, after = (_records(table, rows, [each.cell for each in chosen]) for table, rows in sides)
        return tuple(
            _change(each, before.get(each.cell), after.get(each.cell), same_machine=same_machine) for each in chosen
        )

    lazy = any(isinstance(table.records, ByColumns) for table, _ in sides)
    return Lazy(len(compared), make) if lazy else make(range(len(compared)))


def _records(table: Table, rows: Mapping[Key, Row], cells: Sequence[Key]) -> dict[Key, Record]:
    """Of those cells that a table has the records; `rows` are all of its cells, in its order."""
    places = {cell: place for place, cell in enumerate(rows)}
    records = at(table.records, [places[cell] for cell in cells if cell in places])
    return {record.cell: record for record in records}


def _digest_notes(changes: Iterable[Compared]) -> list[str]:
    moved = sum(_digest_moved(c.base, c.candidate, "strategy_digest") for c in changes)
    return [f"The files of a strategy, its steps or its runtime differ on {count_of(moved)}."] if moved else []


def _error_notes(changes: Sequence[Compared]) -> list[str]:
    """What the tolerance hides: that the two sides had another, and errors that grew within it."""
    found = []
    other = sum(_digest_moved(change.base, change.candidate, "tolerance") for change in changes)
    if other:
        found.append(f"The tolerance differs on {count_of(other)}; both sides are judged by the base's.")
    grown = [
        change.name
        for change in changes
        if change.base
        and change.candidate
        and change.category is Category.UNCHANGED
        and error_grew(change.base, change.candidate)
    ]
    if grown:
        found.append(
            f"The error grew more than tenfold, within the tolerance, on {count_of(len(grown))}: {', '.join(grown)}."
        )
    return found


def _probe_notes(changes: Iterable[Compared]) -> list[str]:
    """The cells that passed on both sides, and fewer probes in the candidate than in the base."""
    counted = [
        (change.name, change.base.probes_passed or 0, change.candidate.probes_passed or 0)
        for change in changes
        if change.base and change.candidate and change.passed
    ]
    fewer = [f"{name} ({now} instead of {before})" for name, before, now in counted if now < before]
    if not fewer:
        return []
    return [f"Fewer probes passed than in the base on {count_of(len(fewer))} that passed: {listed(fewer)}."]


def _not_had_notes(changes: Iterable[Compared]) -> list[str]:
    """The environments that neither side could have: their cells are level, and nothing is known of them."""
    cells = Counter(
        change.candidate.extension
        for change in changes
        if change.base
        and change.candidate
        and change.base.stage in NOT_INSTALLED
        and change.candidate.stage in NOT_INSTALLED
    )
    return [
        f"The environment of {f'the extension {name}' if name else 'the combination itself'} could not be had on "
        f"either side, so that nothing is told of {count_of(cells[name])}."
        for name in sorted(cells)
    ]


def _compared_cell(key: Key, base: Row | None, candidate: Row | None, changed: Sequence[str]) -> Compared:
    if base is None:
        return Compared(key, Category.MISSING_IN_BASE, base, candidate)
    if candidate is None:
        return Compared(key, Category.MISSING_IN_CANDIDATE, base, candidate)
    if reason := _not_comparable(base, candidate, changed):
        return Compared(key, Category.NOT_COMPARABLE, base, candidate, reason)
    if beyond := beyond_tolerance(base, candidate):
        stage, reason = beyond
        return Compared(key, categorise(base, as_mismatched(candidate, stage)), base, candidate, reason)
    return Compared(key, categorise(base, candidate), base, candidate)


def _change(compared: Compared, base: Record | None, candidate: Record | None, *, same_machine: bool) -> CellChange:
    model, strategy, device = compared.cell
    numbers: tuple[NumberChange, ...] = ()
    if base and candidate and not compared.reason and base.outcome is candidate.outcome is Outcome.PASSED:
        numbers = number_changes(base, candidate, same_machine=same_machine)
    return CellChange(
        model=model,
        strategy=strategy,
        device=device,
        category=compared.category,
        base=base,
        candidate=candidate,
        reason=compared.reason,
        numbers=numbers,
    )


def _digest_moved(base: Row | None, candidate: Row | None, column: str) -> bool:
    """Whether a digest is known on both sides and differs. A cell that broke early may not have come to one."""
    before, after = getattr(base, column, None), getattr(candidate, column, None)
    return before is not None and after is not None and before != after


def _not_comparable(base: Row, candidate: Row, changed: Sequence[str]) -> str:
    """Why two cells are not the same; `changed` are modules of the model's that are known to differ."""
    if changed or _digest_moved(base, candidate, "model_digest"):
        told = f" ({listed(changed)})" if changed else ""
        return f"the model's code differs between the two runs{told}"
    if _digest_moved(base, candidate, "weights_digest"):
        return "the bits of the weights differ between the two runs"
    return ""


def categorise(base: Row, candidate: Row) -> Category:
    """The category of a cell that both tables have and that is comparable: rules 3 to 5 and 7."""
    before, after = base.outcome, candidate.outcome
    if before is Outcome.NOT_APPLICABLE:
        return Category.UNCHANGED if after is Outcome.NOT_APPLICABLE else Category.NEWLY_APPLICABLE
    if after is Outcome.NOT_APPLICABLE:
        return Category.NO_LONGER_APPLICABLE if before is Outcome.PASSED else Category.FAILING_DIFFERENTLY
    if after is Outcome.PASSED:
        return Category.UNCHANGED if before is Outcome.PASSED else Category.FIXED
    if after is Outcome.MISMATCHED and before is not Outcome.MISMATCHED and base.stage not in NOT_INSTALLED:
        return Category.MISMATCHED
    if before is Outcome.PASSED:
        return Category.NEWLY_FAILING
    return _both_broken(base, candidate)


def _both_broken(base: Row, candidate: Row) -> Category:
    if candidate.stage.rank < base.stage.rank:
        return Category.FAILING_EARLIER
    if candidate.stage.rank > base.stage.rank:
        return Category.FAILING_LATER
    # What an older run did not record of a cause is no other cause.
    known = base.fingerprint is not None and candidate.fingerprint is not None
    same = base.outcome is candidate.outcome and (not known or base.fingerprint == candidate.fingerprint)
    return Category.UNCHANGED if same else Category.FAILING_DIFFERENTLY
