"""`harness lock`."""

from __future__ import annotations

import click

from harness.bench.errors import UsageError
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

    Requirements that were given to `harness run` are resolved once more by the name that it gave them.
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
    for each in [combinations.read(root, name) for name in wanted]:
        if combinations.is_given(root, each.name):
            keeping.again(root, each.name, upgrade=upgrade, note=say)
            made = locks.read_lock(root, each)
        else:
            made = locks.lock(root, each, upgrade=upgrade)
        told = "no solution; the reason is recorded" if made.reason else "locked"
        path = made.path if made.reason else locks.lock_path(root, each.name)
        say(f"{each.name}: {told} in {path.relative_to(root)}")
        if made.reason:
            say(f"  {printable(made.reason)}")
    return 0
