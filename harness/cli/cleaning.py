"""`harness clean`: what the harness keeps on this machine, and the removal of what is named."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import click

from harness.bench.text import printable, size
from harness.cli.context import root_of, say
from harness.cli.exits import COULD_NOT_TELL
from harness.doctor.inventory import Inventory, Item, take_inventory
from harness.matrix.blocks import freed
from harness.matrix.evicting import free_at


@click.command(short_help="Show what environments and caches hold; remove what is named.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def clean(context: click.Context, names: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Show what .tox, .harness, a node's and uv's cache hold, with sizes and last use; or remove what is named.

    A NAME is as it is shown, a folder that it is in, or a glob. What a run holds stays, and so does what is not the
    harness's. What other projects use (uv-cache, node-cache) goes by its own name alone. Results are never touched.
    With --json, each that was named says whether it was removed, and the bytes that were freed.
    Exits with 3 where something that was named is held.
    """
    root = root_of(context)
    inventory = take_inventory(root, busy=lambda text: say(text, err=True))
    chosen = inventory.named(names) if names else list(inventory.items)
    if not names:
        if as_json:
            click.echo(json.dumps([_plain(each) for each in chosen], indent=1))
        else:
            _show(inventory, free=free_at(root))
        return 0
    told = [_plain(each) for each in chosen] if as_json else []
    done = [_removed(each, dry_run=dry_run, quietly=as_json) for each in chosen]
    if as_json:
        gone = [each and not dry_run for each in done]
        came = [{"removed": each, "freed": item.frees if each else 0} for item, each in zip(chosen, gone, strict=True)]
        click.echo(json.dumps([one | other for one, other in zip(told, came, strict=True)], indent=1))
    return 0 if all(done) else COULD_NOT_TELL


def _removed(item: Item, *, dry_run: bool, quietly: bool) -> bool:
    """Remove an item and say so; False where somebody is at it."""
    frees, by = size(item.frees), item.held_by
    done = not by and (dry_run or item.remove())
    word = ("would remove" if dry_run else "removed") if done else "left"
    told = f"{frees} free" if done else f"it is held by {by or 'another process'}"
    say(f"{word} {printable(item.name)}: {told}", err=quietly)
    return done


def _plain(item: Item) -> dict[str, Any]:
    return {
        "name": item.name,
        "what": item.what,
        "frees": item.frees,
        "takes": item.takes,
        "used": _moment(item.used),
        "held_by": item.held_by,
    }


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def _show(inventory: Inventory, *, free: int) -> None:
    rows = [("frees", "takes", "last used (UTC)", "name", "what")]
    for each in inventory.items:
        what = f"{each.what}, held by {each.held_by}" if each.held_by else each.what
        rows.append((size(each.frees), size(each.takes), _moment(each.used), each.name, what))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        say(_line(row, widths))
    of_harness = [each for each in inventory.items if not each.shared]
    whole = size(freed(*(each.blocks for each in of_harness)))
    say(f"\n{size(free)} free; {whole} more without all that is the harness's.")
    if inventory.foreign:
        say(f"Not the harness's, and left alone: {printable(', '.join(inventory.foreign))}.")
    say("Remove by name: harness clean NAME... (--dry-run says what would go).")


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    frees, takes, used, name, what = (printable(cell) for cell in row)
    return f"{frees:>{widths[0]}}  {takes:>{widths[1]}}  {used:<{widths[2]}}  {name:<{widths[3]}}  {what}"
