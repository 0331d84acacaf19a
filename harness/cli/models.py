"""`harness new-model`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.matrix import template


@click.command("new-model")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("models"), show_default=True)
def new_model(name: str, folder: Path) -> int:
    """Write a model file of your own to start from; it runs as it is."""
    path = template.write(name, folder)
    click.echo(f"{path}: edit it, then run `harness run COMBINATION --models {path}`.")
    return 0
