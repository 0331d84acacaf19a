"""Cells that nothing has changed for are carried over from tables, instead of being run again.

A cell is the same where its identity is (`harness.tables.ingredients`): whatever a table's cell read is read again, and
only with these contents, and all else, equal does it stand for a cell of today. Of the machines that cells may run on,
some have to be as those were that it ran on. What depends on the machine exactly is carried only on an equal one:
figures of time and memory, and outcomes that come of a limit, which depend on the jobs as well. A share of the cells
that rotates is run again all the same, so that what is not reproducible comes to light.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from harness.attempts import details, identities
from harness.attempts.figures import OF_THE_MACHINE, has_figures, of_other_machines, without_figures
from harness.attempts.ingredients import as_now, gather, places
from harness.attempts.reasons import told, why
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt
from harness.bench.errors import HarnessError
from harness.bench.plan import Cell, file_stem_of
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.executors.orders import CONVERTED_ON, ENDED_ON
from harness.matrix.environment import Prepared
from harness.tables.endings import ending_of
from harness.tables.ingredients import (
    Ingredients,
    Items,
    Surroundings,
    here,
    identity_of,
    name_of,
    read_ingredients,
)
from harness.tables.launches import Launch
from harness.tables.layout import CELLS, IDENTITY, RUN, is_hidden
from harness.tables.natives import native_json
from harness.tables.reading import REMEDY, read_table
from harness.tables.schema import SCHEMA_VERSION, Machine, Run, Table

NIGHTS = 20
"""Within so many nights each cell is run again, whatever has changed."""

_BY_A_LIMIT = (Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.CRASHED)
_BEFORE_IT_WAS_BUILT = (Stage.IMPORT, Stage.BUILD)
_WITH_IDENTITIES = 7


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What figures hold for: a `machine` with its `gpu`; and limits, which are shared by the `jobs` on it."""

    machine: Machine
    gpu: Mapping[str, Any] | None
    driver: str | None
    jobs: int

    @classmethod
    def stated(cls, stated: Mapping[str, Any]) -> Conditions:
        """As an attempt says of itself."""
        gpu = stated.get("gpu")
        return cls(
            machine=Machine(**stated["machine"]),
            gpu=dict(gpu) if gpu else None,
            driver=stated.get("driver"),
            jobs=stated.get("jobs", 1),
        )

    @classmethod
    def of_run(cls, run: Run) -> Conditions:
        """As the run of a table says."""
        gpu = asdict(run.gpu) if run.gpu else None
        return cls(machine=run.machine, gpu=gpu, driver=run.driver, jobs=run.jobs)

    def have_figures_of(self, other: Conditions) -> bool:
        """Whether figures of both compare."""
        return self.machine.is_like(other.machine) and (self.gpu, self.driver) == (other.gpu, other.driver)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A cell of a table that stands for one of today; `reads` are the files that it read, as they are here.

    `ran_on` are the names of the surroundings that it ran in, and `elsewhere` the columns that are of other machines
    than the table's run says.
    """

    table: Table
    record: Record
    launches: tuple[Launch, ...]
    reads: Items
    ran_on: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()

    @property
    def seen(self) -> str:
        """When the run started that ran it."""
        return self.record.seen_at(self.table.run.started)

    def is_of(self, conditions: Conditions) -> bool:
        """Whether it ended on a machine whose figures compare with those of `conditions`."""
        ended_there = self.elsewhere != OF_THE_MACHINE
        return ended_there and Conditions.of_run(self.table.run).have_figures_of(conditions)


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """Writes down what has a say in the cells of an attempt, and carries over what it can.

    `tables` are the folders of tables to carry from, the newest first; `night` says which share is run again. Without a
    night nothing is carried over.
    """

    root: Path
    tables: tuple[Path, ...] = ()
    night: date | None = None

    def take_up(
        self,
        attempt: Attempt,
        task: Task,
        prepared: Prepared,
        inside: Mapping[str, Any],
        *,
        fresh: bool,
        machines: Callable[[Surroundings], Sequence[Surroundings]] = lambda here: [here],
    ) -> list[str]:
        """Do so for an attempt that was begun, or is gone on with, before anything runs; what a person is told.

        `machines` tells in which surroundings the cells may run, of which those of this machine may be one. It is
        asked where there is anything to carry.
        """
        for cell in attempt.recorded(task.plan):
            path = attempt.record_of(cell)
            # Whether these are still what they were is asked anew.
            if json.loads(path.read_text(encoding="utf-8"))["row"].get("carried_from"):
                attempt.take_back([cell])
        now = gather(self.root, task, prepared, inside, fresh=fresh)
        worked_on = set(attempt.worked_on(task.plan))
        identities.keep(attempt, self.root, now, recorded=[cell.slug for cell in worked_on])
        if self.night is None:
            attempt.expect([], done=worked_on)
            return []
        # Rows are of the environment's extension: an ambient one has all cells, whatever extension they ask for.
        cells = [replace(cell, extension=task.plan.extension) for cell in task.plan.cells if cell not in worked_on]
        some = any(now.shares_work_with(e) for f in self.tables for e in (kept_ingredients(f) or {}).values())
        among = {name_of(each): each for each in (machines(now.surroundings()) if some and cells else ())}
        found = sources(self.root, self.tables, now, cells, among=among, here=Conditions.stated(inside))
        again = {cell: source for cell, source in found.items() if is_due(cell, self.night, seen=source.seen)}
        attempt.expect([_expected(cell, source) for cell, source in again.items()], done=worked_on)
        carried = {cell: source for cell, source in found.items() if cell not in again}
        for cell, source in carried.items():
            self._carry(attempt, cell, source, inside, tier=task.plan.tier, here=now.here)
        met = {name for source in carried.values() for name in source.ran_on if name != now.here}
        identities.keep_machines(attempt, {name: among[name] for name in sorted(met)})
        for model, source in {cell.model: source for cell, source in carried.items()}.items():
            _carry_native(attempt, model, source.table)
        lacking = [cell for cell in cells if cell not in found]
        kept = (kept_ingredients(folder) or {} for folder in self.tables)
        reads_now = functools.partial(_reads_now, self.root)
        reasons = why(kept, now, lacking, among=among.values(), reads_now=reads_now)
        seen = {source.seen for source in carried.values()}
        return list(told(task.name, seen, carried=len(carried), again=len(again), lacking=lacking, reasons=reasons))

    def _carry(
        self, attempt: Attempt, cell: Cell, source: Source, inside: Mapping[str, Any], *, tier: str, here: str
    ) -> None:
        same = source.is_of(Conditions.stated(inside))
        record = replace(source.record, tier=tier, carried_from=source.seen)
        record = without_figures(record, source.elsewhere if same else OF_THE_MACHINE)
        launches = [asdict(each) for each in source.launches] if same else []
        before = details.seen(self.root, replace(source.table.run, started=source.seen), cell.model, cell.strategy)
        kept = {**before, **_marks(source.ran_on, here=here), "reads": dict(source.reads)}
        attempt.carry(cell, {"row": record.to_json(), "details": kept, "launches": launches})


def _marks(ran_on: Sequence[str], *, here: str) -> dict[str, str | None]:
    """What details say of where a cell ran, as the nodes of a cluster write it: see `RecordedCell.ran_on`."""
    *converted, ended = ran_on
    marks: dict[str, str | None] = {CONVERTED_ON: None, ENDED_ON: None if ended == here else ended}
    return {**marks, CONVERTED_ON: converted[0]} if converted else marks


def _carry_native(attempt: Attempt, model: str, table: Table) -> None:
    """What the native outputs of a model were, unless a build has told here."""
    path = attempt.natives / f"{file_stem_of(model)}.json"
    if model in table.natives and not path.exists():
        path.write_text(native_json(table.natives[model]), encoding="utf-8")


def is_due(cell: Cell, night: date, *, seen: str) -> bool:
    """Whether a cell is of the share that is run again on this night; each is on one of `NIGHTS` in a row.

    One whose night was left out is so as soon as the run that saw it is as many nights ago.
    """
    digest = hashlib.sha256(f"{cell.id}@{cell.device}".encode()).digest()
    its_own = int.from_bytes(digest[:8], "big") % NIGHTS == night.toordinal() % NIGHTS
    return its_own or (night - date.fromisoformat(seen[:10])).days >= NIGHTS


def sources(
    root: Path,
    folders: Iterable[Path],
    now: Ingredients,
    cells: Sequence[Cell],
    *,
    among: Collection[str],
    here: Conditions,
) -> dict[Cell, Source]:
    """What stands for `cells` in the tables of `folders`, the newest first, where something does.

    It ran in surroundings that are `among` these, by their names. The newest that has a cell says what it came to.
    Where that has no figures of the machine `here`, an older one that came to the same and has them comes in its
    place.
    """
    found: dict[Cell, Source] = {}
    left = dict.fromkeys(cells)
    for folder in folders:
        if not left:
            break
        for cell, source in _matching(root, folder, now, list(left), among):
            same, newest = source.is_of(here), found.get(cell)
            whole = same and (has_figures(source.record) or not source.record.carried_from)
            other = newest is not None and not ending_of(newest.record).is_like(ending_of(source.record))
            if other or not may_be_carried(source.record, same=same and source.table.run.jobs == here.jobs):
                del left[cell]
            elif whole:
                found[cell] = source
                del left[cell]
            else:
                found.setdefault(cell, source)
    return found


def _matching(
    root: Path, folder: Path, now: Ingredients, cells: Sequence[Cell], among: Collection[str]
) -> Iterator[tuple[Cell, Source]]:
    kept = {name: each for name, each in (kept_ingredients(folder) or {}).items() if now.shares_work_with(each)}
    if not kept:
        return
    try:
        text = (folder / CELLS).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    rows: dict[tuple[str, str, str], Record] | None = None
    for cell in cells:
        of = kept.get(cell.extension)
        if of is None:
            continue
        ran_on = of.machines_of(cell.model, cell.strategy)
        reads = _reads_now(root, of, cell) if set(ran_on) <= set(among) else None
        if reads is None:
            continue
        on = [of.digests(name) for name in ran_on]
        identity = identity_of(now.parts(cell.model, cell.strategy, reads, on=on))
        if identity not in text:
            continue
        if rows is None:
            try:
                table = _table(folder)
            except HarnessError:
                return
            rows, launches, elsewhere = table.by_cell(), table.launches_by_cell(), of_other_machines(table)
        key = cell.model, cell.strategy, cell.device
        record = rows.get(key)
        if record is not None and (record.identity, record.extension) == (identity, cell.extension):
            timed = tuple(launches.get(key, ()))
            here = reads_here(root, reads)
            apart = elsewhere.get(key, ())
            yield cell, Source(table=table, record=record, launches=timed, reads=here, ran_on=ran_on, elsewhere=apart)


def may_be_carried(record: Record, *, same: bool) -> bool:
    """Whether a row can stand for a cell of equal identity; `same` says whether its conditions are those of today.

    What broke before it was built has imported what nobody knows, so that it is run again; what came of a limit holds
    for these conditions.
    """
    unknown = record.outcome.broken and record.stage in _BEFORE_IT_WAS_BUILT
    return not unknown and (same or record.outcome not in _BY_A_LIMIT)


def _table(folder: Path) -> Table:
    return _read(folder, (folder / RUN).stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _read(folder: Path, _stamp: int) -> Table:
    return read_table(folder)


def kept_ingredients(folder: Path) -> dict[str, Ingredients] | None:
    """What had a say in the cells of a table; None where it does not say, or cannot be read."""
    try:
        stated = json.loads((folder / RUN).read_text(encoding="utf-8"))
        if not _WITH_IDENTITIES <= stated.get("schema_version", 0) <= SCHEMA_VERSION:
            return None
        return _read_ingredients(folder, (folder / IDENTITY).stat().st_mtime_ns)
    except (OSError, ValueError, AttributeError, TypeError, HarnessError):
        return None


@functools.lru_cache(maxsize=32)
def _read_ingredients(folder: Path, _stamp: int) -> dict[str, Ingredients]:
    return read_ingredients(folder / IDENTITY, remedy=REMEDY)


def _reads_now(root: Path, kept: Ingredients, cell: Cell) -> dict[str, str] | None:
    """What a cell of a table read, with the contents as they are now; None where that is not known."""
    read = kept.read_by(cell.model, cell.strategy)
    if read is None:
        return None
    paths = list(read)
    return dict(zip(paths, as_now(here(path, places(root)) for path in paths), strict=True))


def reads_here(root: Path, reads: Items) -> dict[str, str]:
    """`reads` of a table by paths of this machine, as the bench writes them down."""
    return {str(here(path, places(root))): digest for path, digest in reads.items()}


def _expected(cell: Cell, source: Source) -> dict[str, Any]:
    """What a cell that is run again came to before."""
    record = source.record
    return {
        "model": cell.model,
        "strategy": cell.strategy,
        "outcome": record.outcome.value,
        "stage": record.stage.value,
        "fingerprint": record.fingerprint,
        "seen": source.seen,
        "ran_on": list(source.ran_on),
    }


def tables_of(stores: Iterable[Path], combination: str) -> tuple[Path, ...]:
    """The folders of all tables of a combination in `stores`, the newest first."""
    files = (file for store in stores for file in (store / combination).glob(f"*/*/{RUN}"))
    folders = [file.parent for file in files if not is_hidden(file.parent)]
    return tuple(sorted(folders, key=lambda folder: folder.name, reverse=True))
