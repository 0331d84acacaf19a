"""`harness lock`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from harness.bench.errors import HarnessError, RunInterruptedError, UsageError
from harness.bench.text import printable
from harness.cli.context import root_of, say
from harness.matrix import combination as combinations
from harness.matrix import locks
from harness.matrix.requirements import keeping


@click.command(short_help="Resolve combinations with uv into matrices/locks.")
@click.argument("names", nargs=-1, metavar="[COMBINATION]...")
@click.option("--upgrade", is_flag=True, help="Take the newest of everything that is not pinned.")
@click.option("--list-stale", is_flag=True, help="List those whose lock does not fit their file, and lock nothing.")
@click.pass_context
def lock(context: click.Context, names: tuple[str, ...], upgrade: bool, list_stale: bool) -> int:
    """Resolve combinations and their extensions with uv into matrices/locks, with hashes (all, where none is named).

    Requirements that were given to `harness run` are resolved once more by the name that it gave them. Where one of
    several cannot be locked, the others are, and the exit code is that of the worst error: 2, or 3 of the machine's.
    """
    root = root_of(context)
    if not names and not combinations.own_files(root):
        msg = "there is no matrices/*.in here to be locked. `harness init` lays one out."
        raise UsageError(msg)
    if list_stale:
        if names or upgrade:
            msg = "`--list-stale` is of all combinations, and locks none. Leave out what else was given."
            raise UsageError(msg)
        for name in locks.stale_names(root):
            click.echo(name)
        return 0
    wanted = dict.fromkeys(
        combinations.extended(name, extension)
        for name in names or combinations.own_files(root)
        for extension in ["", *([] if combinations.EXTENDS in name else combinations.extensions(root, name))]
    )
    known = {*combinations.all_names(root), *combinations.known(root)}
    for name in (name for name in wanted if name not in known):
        combinations.read(root, name)  # says what there is in its place
    if len(wanted) == 1:
        _lock(root, *wanted, upgrade=upgrade)
        return 0
    failed = {name: error for name in wanted if (error := _tried(root, name, upgrade=upgrade))}
    if failed:
        again = shlex.join(["harness", "lock", *failed])
        say(f"{len(failed)} of {len(wanted)} could not be locked. Mend that, and run `{again}`.", err=True)
    return max((error.exit_code for error in failed.values()), default=0)


def _tried(root: Path, name: str, *, upgrade: bool) -> HarnessError | None:
    """Lock one of several combinations: the error that it ended with is told, and holds the others back no more."""
    try:
        _lock(root, name, upgrade=upgrade)
    except RunInterruptedError:
        raise
    except HarnessError as error:
        say(f"{name}: NOT locked, what was there is as it was: {printable(str(error))}", err=True)
        return error
    return None


def _lock(root: Path, name: str, *, upgrade: bool) -> None:
    """Lock one combination, and say what came of it."""
    combination = combinations.read(root, name)
    if combinations.is_given(root, name):
        keeping.again(root, name, upgrade=upgrade, note=say)
        made = locks.read_lock(root, combination)
    else:
        made = locks.lock(root, combination, upgrade=upgrade)
    told = "no solution; the reason is recorded" if made.reason else "locked"
    path = made.path if made.reason else locks.lock_path(root, name)
    say(f"{name}: {told} in {path.relative_to(root)}")
    if made.reason:
        say(f"  {printable(made.reason)}")
