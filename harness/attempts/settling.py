"""Ended attempts to a table, a pure function of what they recorded; and which attempts have none yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import __version__
from harness.attempts import identities
from harness.attempts.figures import has_figures
from harness.attempts.journal import command_of, open_runs
from harness.attempts.recorded import REMEDY, read_recorded
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt, State
from harness.bench.environment import machine
from harness.bench.errors import HarnessError, PausedError, UsageError
from harness.bench.identity import identity, name_of
from harness.bench.plan import Plan, model_of, split
from harness.bench.record import Record
from harness.bench.registry import Registry
from harness.matrix.combination import extended
from harness.tables.assembly import PlannedRun, assemble, merge
from harness.tables.consistency import lock_digest
from harness.tables.decoding import check_device, check_tier, decode, moment, read_json
from harness.tables.finding import Series, Unfinished
from harness.tables.ingredients import Seen
from harness.tables.launches import FEWEST_LAUNCHES, Launch
from harness.tables.natives import Native, read_native
from harness.tables.reading import read_table
from harness.tables.schema import Machine, Table

_NATIVE_REMEDY = (
    "Move it away to make the table without this model's native outputs, or run the bench again into an empty folder."
)


def table_of(attempts: Sequence[Attempt], *, pins: Mapping[str, str]) -> Table:
    """The table of the attempts of one combination, its own first, then those of its extensions; nothing is written.

    `pins` are the packages that the combination pins directly, name to version; empty for an ambient environment.
    Records of cells and native outputs of models that were not planned are passed over; planned cells without a record
    are in `run.missing`.
    Raises `PausedError` where one did not come to its end, and `UsageError` where a folder is no attempt's or a file
    in it cannot be read.
    """
    return merge([_table_of(attempt, pins=pins) for attempt in attempts])


def _table_of(attempt: Attempt, *, pins: Mapping[str, str]) -> Table:
    planned, stated = _read(attempt)
    if stated["state"] not in (State.ENDED.value, State.SETTLED.value):
        cause = f": {stated['cause']}" if stated["cause"] else ""
        msg = f"{attempt.folder} is {stated['state']}, and only what came to its end makes a table{cause}"
        raise PausedError(msg)
    known = identities.kept(attempt)
    records: list[Record] = []
    launches: list[Launch] = []
    found: dict[tuple[str, str], Seen] = {}
    ran_on: dict[tuple[str, str], tuple[str, ...]] = {}
    for path in sorted(attempt.records.glob("[!.]*.json")):
        cell = read_recorded(path)
        record, seen = known.identified(cell) if known else (cell.record, None)
        records.append(record)
        launches += cell.launches
        if seen is not None:
            found[record.model, record.strategy] = seen
        if known and (places := known.places_of(cell)):
            ran_on[record.model, record.strategy] = places
    ingredients = known.ingredients.with_cells(found) if known else None
    return assemble(
        planned,
        records,
        ingredients=ingredients,
        not_reproducible=identities.not_reproduced(attempt, records, ran_on),
        pins=pins,
        launches=launches,
        natives=_read_natives(attempt),
        identity=name_of(stated["identity"]),
        lock=attempt.lock.read_text(encoding="utf-8") if attempt.lock.exists() else "",
    )


def combination_of(attempt: Attempt) -> str:
    """The combination that an attempt is of. Raises `UsageError` where the folder is no attempt's."""
    return _read(attempt)[0].combination


def _read(attempt: Attempt) -> tuple[PlannedRun, dict[str, Any]]:
    """`attempt.json`, checked."""
    if not attempt.folder.is_dir():
        msg = f"{attempt.folder}: no such folder. Name the one that the bench was given with `--out`."
        raise UsageError(msg)
    where = str(attempt.file)
    if not attempt.file.is_file():
        msg = f"{attempt.folder}: no {attempt.file.name} in it. Name the folder that the bench was given with `--out`."
        raise UsageError(msg)
    value = read_json(attempt.file, where=where, remedy=REMEDY)
    stated = attempt.read()
    if stated is None:
        msg = f"{where}: not an attempt that this harness reads. {REMEDY}"
        raise UsageError(msg)
    planned = decode(PlannedRun, value, where=where)
    check_device(planned.device)
    check_tier(planned.tier)
    moment(planned.started, where=where, key="started")
    if planned.ended is not None:
        moment(planned.ended, where=where, key="ended")
    return planned, stated


def _read_natives(attempt: Attempt) -> dict[str, Native]:
    """The native outputs of an attempt, by model."""
    paths = (path for path in attempt.natives.glob("*.json") if not path.name.startswith("."))
    return {model_of(path.stem): read_native(path, remedy=_NATIVE_REMEDY) for path in sorted(paths)}


def table_of_just_this(task: Task, folders: Iterable[Path]) -> Path | None:
    """The first of the folders of tables that is of just what `task` would run: its lock, its policy and its models.

    It may have been timed otherwise, but by no fewer launches than tell what memory varies by, where `task` has those.
    One that was made by the same code comes first. That of other strategies' files or of another state of the bench
    will do where both come with the harness, in one version of it; a comparison says where strategies differ.
    """
    registry = task.plan.registry()
    lock = task.lock.text or task.lock.reason if task.lock else ""
    tables = []
    for folder in folders:
        try:
            table = read_table(folder)
        except HarnessError:
            continue
        run = table.run
        inside = {"packages": dict(run.packages), "python": run.python}
        if run.complete and run.identity == name_of(identity(task.plan, registry, inside=inside, lock=lock)):
            return folder
        tables.append((folder, table))
    return next((folder for folder, table in tables if _is_of(table, task, registry, lock)), None)


def _is_of(table: Table, task: Task, registry: Registry, lock: str) -> bool:
    """Whether a table is of the lock, the policy and the models of `task`, whatever state of the bench made it."""
    plan, run = task.plan, table.run
    planned = {(cell.model, cell.strategy) for cell in plan.cells}
    fewest = min(plan.policy.launches, FEWEST_LAUNCHES)
    return (
        run.complete
        and not plan.plugins
        and run.harness_version == __version__
        and (run.combination, run.device, run.tier) == (plan.combination, plan.device, plan.tier)
        and run.lock_digest == lock_digest(lock)
        and _same_policy(run.policy, plan)
        and all(each.launches is None or each.launches >= fewest for each in table.records)
        and {(record.model, record.strategy) for record in table.records} == planned
        and all(record.model_digest == registry.models[record.model].digest for record in table.records)
    )


_OF_TIMING = ("launches", "measure_s")
"""What of a policy only says how often calls are timed, and has no say in what becomes of a cell."""


def _same_policy(stated: Mapping[str, int | float], plan: Plan) -> bool:
    """Whether cells of the policy `stated` were run as `plan` would, and timed if it would time them, however often."""
    asked = asdict(plan.policy)
    timed = bool(stated.get("launches")) or not plan.policy.launches
    return timed and all(stated.get(name) == value for name, value in asked.items() if name not in _OF_TIMING)


def cells_of_just_this(task: Task, tables: Iterable[Table]) -> dict[tuple[str, str], tuple[Table, Record]]:
    """What is recorded of the cells of `task`, by model and strategy, each with the first of the tables that has it.

    Only of just this counts: the lock, the policy, the code of model and strategy, and a machine like this one, since
    latency and memory are to be read beside those of other cells.
    """
    plan, registry = task.plan, task.plan.registry()
    lock = lock_digest((task.lock.text or task.lock.reason) if task.lock else "")
    wanted = {(cell.model, cell.strategy) for cell in plan.cells}
    found: dict[tuple[str, str], tuple[Table, Record]] = {}
    here = Machine(**machine())
    for table in tables:
        run = table.run
        extended_by = run.extensions.get(plan.extension)
        of = run.lock_digest if plan.extension == run.extension else extended_by.lock_digest if extended_by else None
        same = (of, run.device, run.harness_version) == (lock, plan.device, __version__)
        same = same and _same_policy(run.policy_of(plan.extension), plan)
        if not same or not run.machine.is_like(here) or plan.plugins:
            continue
        for record in table.records:
            key = record.model, record.strategy
            figures = not record.carried_from or has_figures(record)
            if key in wanted and key not in found and record.extension == plan.extension and figures:
                digests = registry.models[record.model].digest, registry.strategy_digest(split(record.strategy)[0])
                if digests == (record.model_digest, record.strategy_digest):
                    found[key] = table, record
    return found


def settle(attempts: Sequence[Attempt], table: Path) -> None:
    """Say that the table of these attempts, which are held, is written: the next run of the same begins anew."""
    for attempt in attempts:
        attempt.settle(str(table.resolve()))


def unfinished(root: Path, combination: str, series: Series, *, after: str) -> list[Unfinished]:
    """The runs of a whole `series` of `combination` that began after the time `after` and did not come to a table.

    `after` is a time in UTC as tables have it; those of extensions count where the series has them.
    """
    device, tier, extensions = series.device, series.tier, series.extensions
    opened = open_runs(root)
    commands = {run["run"]: command_of(run) for run in opened if not _is_under_way(run)}
    found: dict[str, Unfinished] = {}
    settled = set()
    for file in sorted((root / ".harness" / "attempts").glob(f"{combination}*/{device}-{tier}-*/attempt.json")):
        stated = Attempt(file.parent).read()
        if stated is None or stated["combination"] != combination or stated["selected"]:
            continue
        if stated.get("models", "") != series.models:
            continue
        name = extended(combination, stated["extension"])
        if stated["state"] == State.SETTLED.value:
            settled.add((stated["run"], name))
        elif stated["started"] > after and (extensions or not stated["extension"]):
            cause = f" ({stated['cause'].rstrip('.')})" if stated["cause"] else ""
            reason = f"a run of {name} that began at {stated['started']} is {stated['state']}{cause}"
            found[name] = Unfinished(reason=reason, command=commands.get(stated["run"], ""))
    for run in opened:
        # What was stopped before there was an environment has no attempt.
        for of, extension, *where in run["of"]:
            name = extended(combination, extension)
            whole = where == [device, tier, False, series.models]
            counts = of == combination and whole and (extensions or not extension)
            if counts and run["since"] > after and (run["run"], name) not in settled and name not in found:
                reason = f"a run of {name} that began at {run['since']} has not come to its end"
                found[name] = Unfinished(reason=reason, command=commands.get(run["run"], ""))
    return list(found.values())


def _is_under_way(run: Mapping[str, Any]) -> bool:
    """Whether the process that an open run was given by is still there."""
    return Path("/proc", str(run.get("pid", ""))).is_dir() if run.get("pid") else False
