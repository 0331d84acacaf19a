"""What all commands share: the repository, the console, and options that several of them take."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness.bench import gpu
from harness.bench.definitions import TIERS
from harness.bench.errors import UsageError
from harness.bench.places import find_root
from harness.report.lines import show

_LOG_WIDTH = 120
_LEAST_WIDTH = 40
"""Nobody reads what is folded to less."""


def new_console(*, stderr: bool = False) -> Console:
    """Where reports go, in lines of what a terminal has room for, or of `COLUMNS` characters.

    Elsewhere, in a pipe or a file, sentences are folded at 120 columns, and what cannot be folded stays whole.
    """
    columns = os.environ.get("COLUMNS", "")
    wanted = int(columns) if columns.isdecimal() and int(columns) else None
    folds = wanted is not None or (sys.stderr if stderr else sys.stdout).isatty()
    console = Console(width=wanted if folds else _LOG_WIDTH, soft_wrap=not folds, highlight=False, stderr=stderr)
    console.width = max(console.width, _LEAST_WIDTH)
    return console


def say(text: str = "", *, err: bool = False) -> None:
    """Print what a person reads, line by line: as `click.echo`, but with no line wider than the terminal."""
    show(new_console(stderr=err), text.split("\n"))


def root_of(context: click.Context) -> Path:
    """The repository that a command works in."""
    given: Path | None = context.obj
    if given is not None and not given.is_dir():
        msg = f"--root {given}: no such folder."
        raise UsageError(msg)
    return find_root((given or Path.cwd()).resolve())


def shown(path: Path) -> Path:
    """A path as a person would type it from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


path_option = click.option(
    "--path",
    "paths",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder that your own models import from, besides their own.",
)

input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME:TYPE[SIZES]",
    help="An input of the model without a file: 'x:float32[batch=2,3,224,224]', 'ids:int64[batch=2,length=16]<1000'. "
    "Sizes with a name may vary. Repeatable, in forward's order.",
)
device_option = click.option(
    "--device", type=click.Choice(gpu.DEVICES), default=None, help="Where artifacts are served (auto)."
)
plugin_option = click.option(
    "--plugin-folder",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder with your own steps/, strategies/ and runtimes/.",
)
matrix_option = click.option(
    "--matrix", type=click.Path(path_type=Path), help="The matrix file (matrices/nightly.toml)."
)

_SELECTION_OPTIONS = (
    click.option(
        "--models",
        multiple=True,
        metavar="GLOB|FILE|SPEC",
        help="Models of the zoo, files and folders of your own, or what needs no file: torchvision:NAME, timm:NAME, "
        "hf:FOLDER, package.module:factory.",
    ),
    input_option,
    path_option,
    click.option(
        "--strategies", multiple=True, metavar="GLOB", help="Strategies, such as 'onnx-*' or 'onnx-torchscript:13'."
    ),
    click.option("--tier", type=click.Choice(TIERS), default=None, help="How much of the zoo (quick)."),
    device_option,
    plugin_option,
    click.option("--extensions", is_flag=True, help="Also the strategies and models that need an extension."),
    matrix_option,
)


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose cells."""
    for option in reversed(_SELECTION_OPTIONS):
        command = option(command)
    return command


_TIMING_OPTIONS = (
    click.option(
        "--launches",
        type=click.IntRange(min=0),
        help="How many fresh processes of a cell are timed (3; 1 for extensions beyond the quick tier); 0 times none.",
    ),
    click.option("--threads", type=click.IntRange(min=1), help="Threads of every framework and runtime (1)."),
)


jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="How many cells are converted and checked side by side (by default as cores and memory allow). What is timed "
    "is timed alone.",
)


def timing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how cells are timed, instead of `[policy]` in the matrix file."""
    for option in reversed(_TIMING_OPTIONS):
        command = option(command)
    return command
