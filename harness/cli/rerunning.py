"""`harness rerun`: one cell once more, here, with all that it leaves."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from harness.attempts.execution import execute
from harness.attempts.tasks import Task
from harness.bench.disk import remove_tree
from harness.bench.errors import UsageError
from harness.bench.failure import describe_failure
from harness.bench.kept import ARTIFACT_FILE, TRACEBACK_FILE
from harness.bench.plan import Plan
from harness.bench.record import Record, write_json
from harness.bench.series import values_of
from harness.bench.stages import Outcome
from harness.cli.cells import FoundCell, cell_options, find_cell
from harness.cli.context import new_console, root_of, shown
from harness.cli.exits import COULD_NOT_TELL
from harness.cli.replanning import kept_plan, plan_by_table
from harness.cli.running import tasks_of
from harness.matrix import combination as combinations
from harness.matrix.locks import lock_path
from harness.report.lines import show
from harness.report.live import RunDisplay
from harness.tables.consistency import lock_digest
from harness.tables.endings import ending_of

RECORD_FILE = "record.json"
LOCK_FILE = "lock.txt"
ENVIRONMENT_FILE = "environment.json"
_FOLDERS = frozenset({"convert", "serve", "locate"})
_LEFT = frozenset({RECORD_FILE, LOCK_FILE, ENVIRONMENT_FILE, ARTIFACT_FILE, TRACEBACK_FILE}) | _FOLDERS
"""What a rerun leaves in its folder, or has left, besides the folders of further launches."""

_RUNNING_OPTIONS = (
    click.option(
        "--python",
        "interpreter",
        type=click.Path(path_type=Path),
        help="Run it in this interpreter's environment, where the table is of no combination.",
    ),
    click.option(
        "--plugin-folder",
        "plugins",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A folder with your own steps/, strategies/ and runtimes/, where only the table is here.",
    ),
)


def running_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that runs one cell as `run_again` does."""
    for option in reversed(_RUNNING_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What one more run of a cell came to, and what was different from when its table was made."""

    record: Record
    details: Mapping[str, Any]
    differing: tuple[str, ...]


@click.command(short_help="Run one cell once more here, and keep all that it leaves.")
@click.argument("cell")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Leave artifacts, logs, traceback and record here: a new folder, an empty one, or one of an earlier rerun.",
)
@running_options
@cell_options
@click.pass_context
def rerun(
    context: click.Context,
    /,
    cell: str,
    keep: Path | None,
    interpreter: Path | None,
    plugins: Sequence[Path],
    **given: Any,
) -> int:
    """Run CELL once more in its combination's environment, and say whether it ended as it was recorded.

    CELL is COMBINATION/MODEL/STRATEGY as `harness plan` prints it, or the same after the folder of a table. No table is
    made. Exits with 0 where the cell ended the same way, and with 3 where it did not.
    """
    if keep is not None:
        _refuse_foreign(keep)
    found = find_cell(context, cell, **given)
    console = new_console()
    with contextlib.ExitStack() as until:
        folder = until.enter_context(partial_beside(keep)) if keep is not None else None
        ran = run_again(context, found, folder, interpreter=interpreter, plugins=plugins)
        if keep is not None and folder is not None:
            _put(folder, keep)
    same = ended_alike(found.record, ran.record)
    show(console, [told_end(found.record, ran, same=same)])
    if keep is not None:
        show(console, [f"Kept: {shown(keep)}"])
        for path in sorted(keep.iterdir()):
            show(console, [f"  {shown(path)}{'/' if path.is_dir() else ''}"])
    return 0 if same else COULD_NOT_TELL


def ended_alike(before: Record, now: Record) -> bool:
    """Whether a cell ended twice in one way, as far as both records tell: not every row has a fingerprint."""
    return ending_of(before).is_like(ending_of(now))


def told_end(before: Record, ran: Ran, *, same: bool) -> str:
    """What a person is told of how a cell ended once more."""
    words = _words(ran.record)
    if same:
        lines = [f"It ended as it was recorded: {words}"]
        if not before.fingerprint and ran.record.fingerprint:
            lines.append("  - the cause was not recorded then, so that it may be another now")
        elif before.fingerprint and not ran.record.fingerprint:
            lines.append(f"  - the cause ({before.fingerprint}) was recorded then, and nothing tells it now")
    else:
        lines = ["It ended in another way.", f"  recorded: {_words(before)}", f"  now:      {words}"]
    return "\n".join([*lines, *(f"  - {line}" for line in ran.differing)])


def _words(record: Record) -> str:
    if record.outcome is Outcome.PASSED:
        return "passed"
    fingerprint = f" (fingerprint {record.fingerprint})" if record.fingerprint else ""
    return f"{describe_failure(record)}{fingerprint}"


def _refuse_foreign(folder: Path) -> None:
    """Raise where a folder holds anything that a rerun has not left there."""
    if not folder.exists():
        if not folder.absolute().parent.is_dir():
            msg = f"--keep {folder}: there is no folder {folder.parent} to make it in."
            raise UsageError(msg)
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {""}
    foreign = {name for name in names - _LEFT if not name.startswith(("serve-", "time-"))}
    if foreign or (names and RECORD_FILE not in names):
        msg = f"--keep {folder}: there are other things in it. Name an empty folder, or a new one."
        raise UsageError(msg)


@contextlib.contextmanager
def partial_beside(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, which goes with the context unless it is renamed."""
    partial = folder.absolute().with_name(f".{folder.absolute().name}.partial")
    remove_tree(partial)
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        remove_tree(partial)


def _put(partial: Path, folder: Path) -> None:
    remove_tree(folder)
    partial.rename(folder)


def run_again(
    context: click.Context,
    found: FoundCell,
    folder: Path | None,
    *,
    interpreter: Path | None = None,
    plugins: Sequence[Path] = (),
) -> Ran:
    """Run a cell that was found once more, and leave in `folder` what it leaves.

    It is run by the plan that was kept with its table; where that is not here, by what the table says, with `plugins`,
    folders of a user's own steps, strategies and runtimes.
    Raises `UsageError` where it cannot be run as it was: its model's file or its combination has gone.
    """
    root = root_of(context)
    plan, differing = plan_of(root, found, plugins)
    plan = replace(plan, selected=True, keep=str(folder / "kept") if folder else "", artifacts=())
    task = _task_of(root, plan, interpreter)
    text = task.lock.text or task.lock.reason if task.lock else ""
    recorded = found.table.locks.get(found.record.extension, "")
    if recorded and text and lock_digest(recorded) != lock_digest(text):
        differing = [*differing, f"the lock of {task.name} is another now than that of the table"]
    (cell,) = plan.cells
    console = new_console(stderr=True)
    with RunDisplay(console) as display, contextlib.ExitStack() as holds:
        attempt = execute(root, task, display, holds, run=uuid.uuid4().hex[:12], restart=True)
        told = json.loads(attempt.record_of(cell).read_text(encoding="utf-8"))
        stated = attempt.read() or {}
    record = Record.from_json(told["row"])
    if folder is not None:
        _arrange(folder, folder / "kept" / cell.slug, told, text, stated)
    if record.model_digest != found.record.model_digest and None not in (
        record.model_digest,
        found.record.model_digest,
    ):
        differing = [*differing, "the model's code has changed since"]
    if record.strategy_digest != found.record.strategy_digest:
        differing = [*differing, "the code of the strategy, its steps or its runtime has changed since"]
    return Ran(record=record, details=told["details"], differing=tuple(differing))


def _arrange(folder: Path, kept: Path, told: Mapping[str, Any], lock: str, stated: Mapping[str, Any]) -> None:
    """Put what a cell left, and what it ran in, side by side into `folder`."""
    if kept.is_dir():
        for path in list(kept.iterdir()):
            shutil.move(path, folder / path.name)
        remove_tree(kept.parent)
    write_json(folder / RECORD_FILE, told)
    names = ("combination", "extension", "device", "python", "packages", "machine", "gpu", "driver", "policy")
    write_json(folder / ENVIRONMENT_FILE, {name: stated.get(name) for name in names})
    if lock:
        (folder / LOCK_FILE).write_text(lock, encoding="utf-8")


def _task_of(root: Path, plan: Plan, interpreter: Path | None) -> Task:
    if interpreter is not None:
        return Task(plan=replace(plan, lock=""), interpreter=interpreter.absolute())
    if plan.combination not in combinations.known(root):
        msg = (
            f"{plan.combination} is no combination that is here, so nothing says what to install. Name the interpreter "
            "of the environment that it was run in: --python PATH."
        )
        raise UsageError(msg)
    path = lock_path(root, combinations.extended(plan.combination, plan.extension))
    ((task,),) = tasks_of(root, [[replace(plan, lock=str(path) if path.exists() else "")]])
    return task


def plan_of(root: Path, found: FoundCell, plugins: Sequence[Path] = ()) -> tuple[Plan, list[str]]:
    """The plan that the cell was run by, of this cell alone, and what of it could not be known.

    Raises `UsageError` where it cannot be had: the model's file has gone, or is not named by the table.
    """
    run, record = found.table.run, found.record
    plan = kept_plan(root, run, record.extension)
    differing: list[str] = []
    if plan is None:
        plan = plan_by_table(root, run, [record], plugins=plugins)
        differing = ["only the table is here, which has the policy and no folders of --plugin-folder"]
    cells = tuple(cell for cell in plan.cells if (cell.model, cell.strategy) == (record.model, record.strategy))
    if not cells:
        msg = (
            f"{record.model} with {record.strategy} cannot be run from its table alone: no such model or strategy is "
            f"among {', '.join(values_of(run.models)) or 'the models and strategies that are here'}."
        )
        raise UsageError(msg)
    return replace(plan, cells=cells[:1]), differing
