"""The plan that a table was run by, once more: as it was kept, or as far as the table itself tells."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.attempts import details
from harness.bench.errors import NoEvidenceError, UsageError
from harness.bench.places import ZOO
from harness.bench.plan import Cell, Plan, Policy
from harness.bench.record import Record
from harness.bench.series import values_of
from harness.cli.duels import Duellists, of_cells
from harness.cli.reading import locks_of
from harness.cli.running import select, tasks_of
from harness.duel.preparing import Key
from harness.matrix import combination as combinations
from harness.matrix.locks import lock_path
from harness.matrix.requirements import keeping
from harness.tables.schema import Run, Table


def kept_plan(root: Path, run: Run, extension: str) -> Plan | None:
    """The plan that the cells of an extension, or of the combination itself, were run by; None where it is not here.

    Raises `UsageError` where a file or a folder that it is of has gone.
    """
    file = details.plan_file(root, run, extension)
    if not file.is_file():
        return None
    plan = Plan.from_json(json.loads(file.read_text(encoding="utf-8")))
    gone = [path for path in (*plan.models, *plan.plugins, *plan.paths) if not Path(path).exists()]
    if gone:
        msg = f"{gone[0]} has gone, and the cell was made of it. Put it back, or run the models as they are now."
        raise UsageError(msg)
    return plan


def plan_by_table(
    root: Path, run: Run, records: Sequence[Record], *, name: str = "", plugins: Sequence[Path] = ()
) -> Plan:
    """A plan as that of a table was for `records`, of one extension, as far as `run.json` tells.

    It has more cells than these: all strategies of each model. `name` stands in the place of the combination's, and
    `plugins` are folders of a user's own steps, strategies and runtimes. Raises `UsageError` where a model or a
    strategy is not here.
    """
    name = name or run.combination
    models = [str(root / value) if (root / value).exists() else value for value in values_of(run.models)]
    zoo = [f"zoo:{each}" if (ZOO / f"{each}.py").is_file() else each for each in _each(r.model for r in records)]
    _, (selection, *_) = select(
        root,
        (),
        None,
        instead=[name],
        models=models or zoo,
        inputs=(),
        tier=run.tier,
        device=run.device,
        strategies=_each(record.strategy for record in records),
        plugins=tuple(plugins),
        paths=[root / path for path in run.paths],
        extensions=True,
    )
    stated = run.policy_of(records[0].extension)
    known: dict[str, Any] = {name: value for name, value in stated.items() if name in vars(Policy())}
    # What the table says stands, whatever the matrix file of today leaves to the default.
    plans = replace(selection, policy=Policy(**known), launches_by_default=False).plans(name, root)
    wanted = {(record.model, record.strategy) for record in records}
    with_cells = [plan for plan in plans if any((cell.model, cell.strategy) in wanted for cell in plan.cells)]
    return with_cells[0] if with_cells else plans[0]


def standing_for(root: Path, table: Table, tell: Callable[[str], None]) -> str:
    """The combination whose environment a table was made in.

    That of a table of another lock than its combination has now is what its own lock makes of it, as requirements that
    are given. Raises `NoEvidenceError` where a table keeps no lock's text, as older ones do.
    """
    run = table.run
    if run.combination in combinations.known(root):
        locks = locks_of(root, run.combination, extensions=False)
        if locks is not None and locks.own == run.lock_digest:
            return run.combination
    if not (run.lock_digest and run.packages and table.locks.get("")) or table.folder is None:
        msg = (
            f"{table.folder} keeps no lock of an environment that could be had again, so that nothing can be timed "
            f"in it. Run {run.combination} again: its table keeps the lock."
        )
        raise NoEvidenceError(msg)
    return keeping.keep_lock(
        root,
        table.locks[""],
        name=f"{run.combination}-{run.lock_digest[:8]}",
        python=".".join(run.python.split(".")[:2]),
        source=table.folder,
        note=tell,
    ).name


def duellists_of(root: Path, tables: tuple[Table, Table], meant: set[Key], tell: Callable[[str], None]) -> Duellists:
    """What a duel of two tables' cells is between: each in the environment of its own table's lock.

    Raises `NoEvidenceError` where a table has no lock or threads differ, and `UsageError` where what its cells are made
    of has gone.
    """
    untimed: dict[Key, str] = {}
    sides: list[list[Plan]] = []
    for table in tables:
        name = standing_for(root, table, tell)
        of: dict[str, list[Record]] = {}
        for record in table.records:
            if (record.model, record.strategy) in meant:
                of.setdefault(record.extension, []).append(record)
        sides.append([])
        for extension, records in of.items():
            if extension and (why := _not_had(root, name, extension, table)):
                untimed |= {(record.model, record.strategy): why for record in records}
                continue
            sides[-1].append(_plan(root, name, table.run, extension, records))
    left = [of_cells(plans, meant - untimed.keys()) for plans in _by_equal_rules(sides)]
    return Duellists(groups=tasks_of(root, left), untimed=untimed)


def _by_equal_rules(sides: Sequence[Sequence[Plan]]) -> list[list[Plan]]:
    """The plans with the same patience and limits on both sides, the larger of each: tables may differ in those.

    A side that may warm up for longer would be timed warmer. Raises `NoEvidenceError` where threads differ, as
    those of an extension's cells may.
    """
    policies = [plan.policy for plans in sides for plan in plans]
    if len(threads := sorted({policy.threads for policy in policies})) > 1:
        msg = f"the cells were run with different numbers of threads, {' and '.join(map(str, threads))}."
        raise NoEvidenceError(msg)
    largest: dict[str, Any] = {
        name: max(getattr(policy, name) for policy in policies)
        for name in ("measure_s", "timeout_s", "memory_limit_mb")
        if policies
    }
    return [[replace(plan, policy=replace(plan.policy, **largest)) for plan in plans] for plans in sides]


def _plan(root: Path, name: str, run: Run, extension: str, records: Sequence[Record]) -> Plan:
    """The plan of `records` in the environment `name`: another than their combination's where that was locked anew."""
    plan = kept_plan(root, run, extension) or plan_by_table(root, run, records, name=name)
    path = lock_path(root, combinations.extended(name, extension))
    cells = tuple(Cell(name, record.model, record.strategy, record.device, extension) for record in records)
    return replace(plan, combination=name, cells=cells, lock=str(path))


def _not_had(root: Path, name: str, extension: str, table: Table) -> str:
    """Why the environment of an extension's cells cannot be had as it was; empty where it can."""
    stated = table.run.extensions.get(extension)
    locks = locks_of(root, name, extensions=True)
    if stated is not None and locks is not None and locks.extensions.get(extension) == stated.lock_digest:
        return ""
    return f"the environment of the extension {extension} is of another lock now than in the table of {name}"


def _each(names: Any) -> list[str]:
    return list(dict.fromkeys(names))
