"""`harness plan`, `harness run` and `harness ingest`: cells to tables."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness.attempts import details, mistakes
from harness.attempts.carrying import Carrier, tables_of
from harness.attempts.completing import completed, errors_of
from harness.attempts.durations import durations
from harness.attempts.execution import execute
from harness.attempts.journal import Run
from harness.attempts.settling import combination_of, settle, table_of
from harness.attempts.tasks import Task
from harness.bench import gpu
from harness.bench.attempt import Attempt, State
from harness.bench.errors import HarnessError, ModelsWrongError, PausedError, UsageError
from harness.bench.hold import hold
from harness.bench.plan import Plan, split_models
from harness.bench.series import path_names, series_of
from harness.cli.clustering import LOCAL, check_where, executor_options, ray_executors
from harness.cli.context import jobs_option, new_console, root_of, say, selection_options, shown, timing_options
from harness.cli.exits import COULD_NOT_TELL
from harness.cli.policies import expectations, foreseen_of
from harness.cli.requirements import requirements_options, take
from harness.cli.storing import RESULTS, gate_command, store_of
from harness.cli.writing import refuse_unwritable_folder
from harness.executors.local import Local, jobs_here
from harness.executors.units import Executor
from harness.given.placing import placed
from harness.matrix import combination as combinations
from harness.matrix import environment, locks, matrixfile
from harness.matrix.selection import Selection
from harness.report import terminal
from harness.report.lines import show
from harness.report.live import RunDisplay
from harness.tables.writing import write_table
from harness.verdict.expectations import Expectation

AMBIENT = "ambient"


def select(
    root: Path, names: Sequence[str], matrix: Path | None, *, instead: Sequence[str] = (), **given: Any
) -> tuple[list[str], list[Selection]]:
    """Combinations and one selection a device: what the command line says, and the matrix file where it is silent.

    `instead` is what stands in the place of combinations, such as an environment that is there already.
    """
    known = combinations.names(root)
    file = matrixfile.of(root, matrix, names=[*names, *instead], known=known)
    for name in names:
        combinations.read(root, name)
    values = given["models"] or file.models
    models, found = placed(root, values, given.get("inputs", ()))
    series = series_of(values, root=root) if split_models(models)[0] else ""
    asked = {name: given[name] for name in ("launches", "threads") if given.get(name) is not None}
    selections = [
        Selection(
            tier=given["tier"] or file.tier,
            device=device,
            models=models,
            strategies=given["strategies"] or file.strategies,
            plugins=given["plugins"],
            paths=[*(given["paths"] or [root / folder for folder in file.paths]), *found],
            policy=replace(file.policy.policy(), **asked),
            launches_by_default="launches" not in asked and file.policy.launches is None,
            keeping=file.keep.keeping(),
            extensions=given["extensions"] or file.extensions,
            series=series,
            path_names=path_names(given["paths"], root=root),
        )
        for device in ([given["device"]] if given["device"] else file.devices)
    ]
    return list(dict.fromkeys(names or file.combinations)), selections


@click.command()
@click.argument("names", nargs=-1, metavar="[COMBINATION]...")
@selection_options
@click.option("--combinations", "split", is_flag=True, help="Their combinations alone: what a night is split by.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def plan(
    context: click.Context,
    /,
    names: tuple[str, ...],
    matrix: Path | None,
    split: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Print the cells that `harness run` would run."""
    chosen, selections = select(root_of(context), names, matrix, **given)
    if split:
        click.echo(json.dumps(chosen) if as_json else "\n".join(chosen))
        return 0
    root = root_of(context)
    plans = [plan for selection in selections for name in chosen for plan in selection.plans(name, root)]
    cells = [cell for each in plans for cell in each.cells]
    if as_json:
        rows = [{"id": cell.id, **asdict(cell)} for cell in cells]
        click.echo(json.dumps(rows, indent=1))
    else:
        say("\n".join(cell.id for cell in cells))
    return 0


@click.command(short_help="Install combinations, run their cells, write their tables.")
@click.argument("names", nargs=-1, metavar="[COMBINATION]...")
@click.option(
    "--requirements",
    multiple=True,
    metavar="FILE",
    help="Requirements as you have them: requirements.txt, pyproject.toml, uv.lock or pylock.toml.",
)
@requirements_options
@selection_options
@timing_options
@jobs_option
@executor_options
@click.option("--python", "interpreter", type=click.Path(path_type=Path), help="Run in this interpreter's environment.")
@click.option("--name", default=AMBIENT, show_default=True, help="What to call that environment.")
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.option("--fresh", is_flag=True, help="Start a fresh process for each cell instead of forking a warm one.")
@click.option("--restart", is_flag=True, help="Do not go on with an interrupted run; begin anew.")
@click.option(
    "--changed", is_flag=True, help="Run only what anything has changed for; carry over other cells from tables."
)
@click.option(
    "--night",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="With --changed: whose share of the cells is run again all the same (today's, in UTC).",
)
@click.pass_context
def run(
    context: click.Context,
    /,
    names: tuple[str, ...],
    requirements: tuple[str, ...],
    python: str,
    everything: bool,
    matrix: Path | None,
    interpreter: Path | None,
    name: str,
    results: Path | None,
    fresh: bool,
    restart: bool,
    changed: bool,
    night: datetime | None,
    jobs: int | None,
    where: str,
    address: str | None,
    machine: str | None,
    **given: Any,
) -> int:
    """Install combinations through tox, run their cells, and write their tables.

    A run of the whole tier becomes the combination's newest table, and one of all of your own models theirs; a run of
    selected cells goes to .harness/scratch.
    A broken model is a result: the exit code is 0 where every planned cell was recorded.

    With --changed, a cell is carried over from the newest table that has it where nothing with a say in it has
    changed: packages, files, policy, variables, device and so on. A twentieth of these is run again each night.
    """
    if night is not None and not changed:
        msg = "--night only goes with --changed: without it, all cells are run."
        raise UsageError(msg)
    root = root_of(context)
    known = expectations(root)
    check_where(where, address=address, machine=machine, jobs=jobs)
    if interpreter is not None and (names or requirements):
        others = ", ".join([*names, *requirements])
        msg = f"--python runs the environment as it is; leave out {others}, or leave out --python."
        raise UsageError(msg)
    if not requirements and (python or everything):
        idle = ", ".join(filter(None, ["--python-version" if python else "", "--all" if everything else ""]))
        msg = f"{idle}: only goes with --requirements; a combination's file says which Python, and has all it installs."
        raise UsageError(msg)
    instead = [name] if interpreter is not None else requirements
    chosen, selections = select(root, names, matrix, instead=instead, **given)
    if requirements:
        chosen = [*names, *take(root, requirements, selections, python=python, everything=everything)]
    if interpreter is not None:
        check_name(root, name)
        groups = [
            [Task(plan=plan, interpreter=interpreter.absolute()) for plan in selection.plans(name, None)]
            for selection in selections
        ]
    else:
        for note in filter(None, (combinations.origin(root, each) for each in chosen)):
            say(note)
        groups = tasks_of(root, [selection.plans(each, root) for each in chosen for selection in selections])
    planned = [task.plan for group in groups for task in group]
    executors = (
        local_executors(planned, asked=jobs)
        if where == LOCAL
        else ray_executors(planned, address=address, machine=machine)
    )
    _tell_device(selections)
    tonight = (night or datetime.now(UTC)).date() if changed else None
    written = run_all(
        root, groups, results, fresh=fresh, restart=restart, known=known, executor_of=executors, night=tonight
    )
    if told := gate_command(written, root=root, given_root=context.obj, results=results):
        say(f"Compare: {told}")
    return 0


def local_executors(plans: Iterable[Plan], *, asked: int | None = None) -> Callable[[Plan], Executor]:
    """What runs each plan here, by `asked` jobs or as cores and memory allow. Raises `UsageError` before any runs."""

    def executor(plan: Plan) -> Executor:
        return Local(jobs_here(plan.policy, device=plan.device, asked=asked))

    for plan in plans:
        executor(plan)
    return executor


def check_name(root: Path, name: str) -> None:
    """Raise where `name` cannot be that of an environment of somebody's own."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        msg = f"--name {name!r} cannot name a folder of results. Use letters, digits, dots and hyphens."
        raise UsageError(msg)
    if name in combinations.known(root):
        msg = f"--name {name!r} is a combination's; its tables are of its lock. Choose another name."
        raise UsageError(msg)


def _tell_device(selections: Sequence[Selection]) -> None:
    """Say why `auto` is the CPU."""
    if any(selection.device == "auto" for selection in selections) and (reason := gpu.why_cpu()):
        say(f"device: cpu ({reason})")


def tasks_of(root: Path, plans: Sequence[Sequence[Plan]]) -> list[list[Task]]:
    """The tasks of each combination and device, with their locks; refuses before anything is built."""
    names = {combinations.extended(plan.combination, plan.extension) for group in plans for plan in group}
    sources = {}
    for name in sorted(names):
        base, _, extension = name.partition(combinations.EXTENDS)
        if not extension or extension in combinations.extensions(root, base):
            each = combinations.read(root, name)
            sources[name] = each, locks.read_lock(root, each)
    environment.require_pythons({name: each.python for name, (each, lock) in sources.items() if not lock.reason})
    return [[_task(plan, sources) for plan in group] for group in plans]


def _task(plan: Plan, sources: Mapping[str, tuple[combinations.Combination, locks.Lock]]) -> Task:
    combination, lock = sources.get(combinations.extended(plan.combination, plan.extension), (None, None))
    return Task(plan=plan, combination=combination, lock=lock)


def run_all(
    root: Path,
    groups: Sequence[Sequence[Task]],
    results: Path | None,
    *,
    fresh: bool,
    restart: bool,
    errors_only: bool = False,
    known: tuple[Expectation, ...] | None = None,
    executor_of: Callable[[Plan], Executor] | None = None,
    night: date | None = None,
) -> list[tuple[Plan, Path]]:
    """Run group after group, writing each table as it is done. One that was stopped does not stop those after it.

    What is broken as one of the expectations `known` has it stands apart where tables are shown. With `errors_only`
    all that is told goes to the standard error: what is printed is for another program. Units of cells are run by
    `executor_of` their plan: without, by this machine. On a `night`, cells that nothing changed for are carried over
    from tables, but for that night's share.
    Raises `UsageError` before anything runs where tables cannot be written.
    """
    for plan in (group[0].plan for group in groups):
        refuse_unwritable_folder(store_of(root, results, selected=plan.selected) / plan.combination, "--results")
    executor_of = executor_of or local_executors([])
    console = new_console(stderr=errors_only)
    run = Run(root, [task for group in groups for task in group], results, restart=restart)
    errors: list[HarnessError] = []
    finished: list[Attempt] = []
    store = store_of(root, results, selected=False)
    written: list[tuple[Plan, Path]] = []
    with RunDisplay(console) as display, run.open():
        for number, group in enumerate(groups):
            needed = frozenset(task.name for each in groups[number:] for task in each)
            group = [replace(task, needed=needed) for task in group]  # noqa: PLW2901
            try:
                with contextlib.ExitStack() as holds:
                    carrier = _carrier(root, group[0].plan.combination, results, night)
                    how = {"run": run.name, "fresh": fresh, "restart": restart, "carrier": carrier}
                    attempts, group = _executed(root, group, display, holds, executor_of, store, **how)  # noqa: PLW2901
                    folder = _settled(root, group, attempts, results, console, known)
            except ModelsWrongError as error:
                errors.append(error)
                break  # every other environment would say the same
            except HarnessError as error:
                if len(groups) > 1:
                    display.note(f"{group[0].name}: {error}")
                errors.append(error)
                continue
            show(console, ["", f"Table: {shown(folder)}", ""])
            written.append((group[0].plan, folder))
            finished += attempts
        raised = mistakes.raised_everywhere(root, finished, results=store)
        done = not errors or len(errors) == len(groups) or isinstance(errors[-1], ModelsWrongError)
        if raised:
            errors.append(ModelsWrongError(mistakes.told(raised)))
        if errors:
            if done and all(isinstance(error, UsageError) for error in errors):
                run.close()  # what is mended is another run
            raise _worst(errors, len(groups))
    return written


def _carrier(root: Path, combination: str, results: Path | None, night: date | None) -> Carrier:
    """What writes down what has a say in cells, and on a `night` carries over those that nothing changed for."""
    # Read alone: nothing is made where there is none, since the run may be refused yet.
    stores = [results] if results is not None else [store_of(root, None, selected=False), root / ".harness" / "scratch"]
    tables = tables_of(dict.fromkeys(stores), combination) if night else ()
    return Carrier(root=root, tables=tables, night=night)


def _executed(
    root: Path,
    group: Sequence[Task],
    display: RunDisplay,
    holds: contextlib.ExitStack,
    executor_of: Callable[[Plan], Executor],
    store: Path,
    **how: Any,
) -> tuple[list[Attempt], Sequence[Task]]:
    """The attempts of a group, and the group: again, with what requirements name, where a module was missing."""
    while True:
        refused: UsageError | None = None
        attempts: list[Attempt] = []
        # What a round held is let go before the next, which may be of the same attempt.
        with contextlib.ExitStack() as held:
            try:
                attempts = [
                    execute(
                        root,
                        task,
                        display,
                        held,
                        executor=executor_of(task.plan),
                        durations=durations((store, root / RESULTS), task.plan),
                        **how,
                    )
                    for task in group
                ]
                errors = errors_of(attempts)
            except UsageError as error:
                refused, errors = error, [str(error)]
            more = completed(root, group, errors, note=display.note)
            if more is None and refused is None:
                holds.push(held.pop_all())
                return attempts, group
        if more is None:
            assert refused is not None
            raise refused
        group = more


def _settled(
    root: Path,
    group: Sequence[Task],
    attempts: Sequence[Attempt],
    results: Path | None,
    console: Console,
    known: tuple[Expectation, ...] | None,
) -> Path:
    """The folder of the table of a group's attempts, which is written and shown unless it was before."""
    if all(attempt.state is State.SETTLED for attempt in attempts):
        return Path((attempts[0].read() or {})["table"])
    table = table_of(attempts, pins=group[0].pins)
    folder = write_table(store_of(root, results, selected=table.run.selected), table)
    told = details.give(root, attempts, table.run, limit_mb=group[0].plan.keeping.all_mb)
    settle(attempts, folder)
    terminal.print_grid(console, replace(table, folder=folder), foreseen_of(table, known))
    for line in told:
        show(console, ["", line])
    return folder


def _worst(errors: Sequence[HarnessError], groups: int) -> HarnessError:
    """The error whose exit code counts, wrong use before what could not be told, among what else went wrong."""
    first = min(errors, key=lambda error: error.exit_code)
    if groups == 1 or isinstance(first, UsageError):
        return first
    return PausedError(f"{len(errors)} of {groups} runs did not come to an end, and made no table: {first}")


@click.command("ingest")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.pass_context
def ingest_command(context: click.Context, folder: Path, results: Path | None) -> int:
    """Make the table of a folder that the bench wrote with --out."""
    root = root_of(context)
    attempt = Attempt(folder)
    name = combination_of(attempt)
    with hold(attempt.folder, f"the attempt in {folder}", say):
        return _ingested(root, attempt, name, results)


def _ingested(root: Path, attempt: Attempt, name: str, results: Path | None) -> int:
    """Make and show the table of an attempt that is held."""
    folder = shown(attempt.folder)
    known = expectations(root)
    limit_mb = matrixfile.keeping_of(root).all_mb
    own = name in combinations.known(root)
    table = table_of([attempt], pins=combinations.read(root, name).pins if own else {})
    if own and table.run.lock_digest != locks.read_lock(root, combinations.read(root, name)).digest:
        msg = (
            f"{folder} says that it is of {name}, and was not run from that combination's own lock. "
            "Run the bench with another --combination, or let `harness run` make the table."
        )
        raise UsageError(msg)
    written = write_table(store_of(root, results, selected=table.run.selected), table)
    told = details.give(root, [attempt], table.run, limit_mb=limit_mb)
    console = new_console()
    terminal.print_grid(console, replace(table, folder=written), foreseen_of(table, known))
    for line in (*told, f"Table: {shown(written)}"):
        show(console, ["", line])
    return 0 if table.run.complete else COULD_NOT_TELL
