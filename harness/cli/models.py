"""`harness new-model`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from harness.cli.context import input_option, say, shown
from harness.given.files import explained
from harness.given.placing import folders_of
from harness.given.specs import parse
from harness.matrix import template


@click.command("new-model")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("models"), show_default=True)
@click.option(
    "--from",
    "spec",
    metavar="SPEC",
    help="Begin with this model: torchvision:NAME, timm:NAME, hf:FOLDER or package.module:factory.",
)
@input_option
def new_model(name: str, folder: Path, spec: str | None, inputs: tuple[str, ...]) -> int:
    """Write a model file of your own to start from; it runs as it is."""
    path = template.write(name, folder, explained(spec, inputs) if spec or inputs else template.TEMPLATE)
    found = parse(spec) if spec else None
    needed = [f" --path {shlex.quote(str(shown(each)))}" for each in folders_of(found)] if found else []
    say(f"{path}: edit it, then run `harness run COMBINATION --models {path}{''.join(needed)}`.")
    return 0
