"""The `harness` command, one file a group of commands."""

from __future__ import annotations

from pathlib import Path

import click

from harness import __version__
from harness.cli.advising import advise_command
from harness.cli.bumping import bump
from harness.cli.checking import check
from harness.cli.cleaning import clean
from harness.cli.doctor import doctor
from harness.cli.duelling import duel
from harness.cli.expecting import expect
from harness.cli.explaining import explain
from harness.cli.gating import gate
from harness.cli.history import history_command
from harness.cli.joining import join_command
from harness.cli.locking import lock
from harness.cli.models import new_model
from harness.cli.opening import open_command
from harness.cli.pinning import pins
from harness.cli.reading import compare_command, show
from harness.cli.reporting import report
from harness.cli.reproducing import reproduce
from harness.cli.rerunning import rerun
from harness.cli.running import ingest_command, plan, run
from harness.cli.sections import SectionedCommands
from harness.cli.starting import init
from harness.cli.streams import mend_streams


@click.group(cls=SectionedCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), help="The repository, where it is not around here."
)
@click.pass_context
def cli(context: click.Context, root: Path | None) -> None:
    """Which of my models break when I move these pins, where, why, and may I merge?

    Exit codes: 0 nothing worse, 1 something is worse, 2 wrong use or unreadable input, 3 could not tell.
    """
    context.obj = root


_JUDGING = (bump, run, gate, duel, advise_command, expect)
_READING = (plan, pins, show, compare_command, history_command, report)
_LOOKING_INTO = (explain, rerun, open_command, reproduce)
_KEEPING = (lock, ingest_command, join_command, init, new_model, check, doctor, clean)

for command in (*_JUDGING, *_READING, *_LOOKING_INTO, *_KEEPING):
    cli.add_command(command)


def main() -> None:
    """Entry of the `harness` command."""
    mend_streams()
    cli(prog_name="harness")
