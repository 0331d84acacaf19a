"""`harness pins`: which sets of pins a change touches, and what to hold against each other."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict

import click

from harness.bench.errors import UsageError, unknown
from harness.cli.context import root_of, say
from harness.matrix.since import change_since


@click.command(short_help="List the pins that a change touches.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--since", "reference", required=True, metavar="REF", help="The branch or commit that the change is against."
)
@click.option("--extensions", is_flag=True, help="Also extensions of which only what they include differs.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, in one line.")
@click.pass_context
def pins(context: click.Context, names: tuple[str, ...], reference: str, extensions: bool, as_json: bool) -> int:
    """List the combinations and requirements whose pins differ from those where this branched off REF.

    What was there then is laid out in .harness/base, so that `harness gate` can be given both sides. NAMEs, as this
    lists them, leave out all others.
    """
    change = change_since(root_of(context), reference, extensions=extensions)
    touched = {each.name: each for each in change.touched}
    if absent := [name for name in names if name not in touched]:
        raise UsageError(unknown("name of pins that differ", absent[0], touched))
    listed = [each for name, each in touched.items() if not names or name in names]
    if as_json:
        click.echo(json.dumps([asdict(each) for each in listed]))
        return 0
    for each in listed:
        say(f"{each.name}: {each.file}")
        sides = f"--base-requirements {shlex.quote(each.base)} --candidate-requirements {shlex.quote(each.candidate)}"
        say(f"  harness gate {sides}")
    for path in change.fresh:
        say(f"{path}: new, with nothing to hold it against")
    for path in change.gone:
        say(f"{path}: gone")
    if not (listed or change.fresh or change.gone):
        say(f"No pins differ since {change.commit[:12]}.")
    return 0
