"""`harness init`."""

from __future__ import annotations

import click

from harness.cli.context import root_of, say
from harness.matrix import starting


@click.command("init", short_help="Lay out models, pins, a workflow and the settings of bots.")
@click.option("--from", "reference", metavar="COMBINATION", default="", help="Copy this combination of the harness's.")
@click.pass_context
def init(context: click.Context, reference: str) -> int:
    """Lay out what a repository of your own needs, beside what is there; nothing that is there is touched.

    That is models/ with one to start from, matrices/ with the pins that your requirements have (or one of the harness's
    own combinations), a GitHub workflow that runs the gate on pull requests, and settings for Renovate and Dependabot.
    """
    for line in starting.lines(starting.lay_out(root_of(context), reference=reference)):
        say(line)
    return 0
