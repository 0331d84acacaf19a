"""What commands share that take requirements as people have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from harness.bench.errors import UsageError
from harness.cli.context import say
from harness.matrix.requirements import keeping
from harness.matrix.requirements.closing import Wish
from harness.matrix.requirements.needs import models_of, modules_of
from harness.matrix.selection import Selection

_OPTIONS = (
    click.option(
        "--python-version", "python", default="", metavar="3.11", help="The Python that requirements are for."
    ),
    click.option(
        "--all", "everything", is_flag=True, help="Install all requirements, and not only what the cells need."
    ),
)


def requirements_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is made of requirements."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take(
    root: Path,
    files: Sequence[str],
    selections: Sequence[Selection],
    *,
    python: str,
    everything: bool,
    quietly: bool = False,
) -> list[str]:
    """The names of the combinations that `files` become, locked for what the cells of `selections` need.

    What a person is told goes to the standard error where that is `quietly`.
    """
    if not files:
        return []
    plans = [plan for selection in selections for plan in selection.plans("given", None)]
    wish = Wish(modules=frozenset(modules_of(plans)), models=models_of(plans), everything=everything)

    def note(text: str) -> None:
        say(text, err=quietly)

    kept: list[keeping.Kept] = []
    for file in files:
        each = keeping.take(root, file, wish, python=python, beside=kept[0] if kept else None, note=note)
        if not each.has("torch"):
            msg = f"{file}: torch is not among what it comes to: nothing of these requirements can be tested. Add it."
            raise UsageError(msg)
        kept.append(each)
    return [each.name for each in kept]
