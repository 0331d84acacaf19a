"""What reaches the bench of how pytest was called: the ids of cells, and nobody's settings but its own.

A folder in which somebody tests a package has pytest settings and a `conftest.py`. They are about those tests, name
plugins that a pinned environment does not have, and would import what it lacks: none of them counts here.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from harness.bench.errors import UsageError, unknown

CELLS_FILE = Path(__file__).with_name("cells")
"""Stands for all cells: an id that pytest prints is `cells::torch2.1/resnet18/native`."""

_SETTINGS = Path(__file__).with_name("pytest.ini")
_ABOUT_THEIR_TESTS = ("filterwarnings", "required_plugins", "testpaths", "usefixtures")


def ignore_settings(config: pytest.Config) -> None:
    """Have no settings that are about somebody's own tests; of those on the command line in `addopts` see below."""
    if config.inipath != _SETTINGS:
        for name in _ABOUT_THEIR_TESTS:
            config.getini(name).clear()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Iterator[None]:
    """Take `addopts` of somebody's own settings away, load no `conftest.py`, and be at home where pytest is called.

    pytest would choose its root by what the options name and keep its cache there: in `/`, or beside `pytest.ini`, in
    an installed package.
    """
    added: Sequence[str] = early_config.getini("addopts")
    # pytest puts them first; what PYTEST_ADDOPTS says, and what was typed, comes after them and is meant.
    if early_config.inipath not in (None, _SETTINGS) and args[: len(added)] == list(added):
        del args[: len(added)]
        # What plugins of that environment, such as pytest-cov, have been told of them already.
        within = early_config.known_args_namespace.confcutdir
        early_config.known_args_namespace = parser.parse_known_args(args, copy.copy(early_config.option))
        early_config.known_args_namespace.confcutdir = within
    early_config.known_args_namespace.noconftest = True
    early_config._rootpath = early_config.invocation_params.dir
    return (yield)


def collected(arguments: Iterable[str], known: Collection[str]) -> list[str]:
    """What pytest is to collect for the ids that were given, as it prints them or bare, in their order.

    `known` are the ids of the plan. Raises `UsageError` for any other, with the nearest.
    """
    ids: dict[str, None] = {}
    for argument in arguments:
        head, colons, name = argument.rpartition("::")
        if colons and Path(head).name != CELLS_FILE.name:
            name = argument
        if not colons and Path(argument).resolve() == CELLS_FILE:
            return [str(CELLS_FILE)]
        if name not in known:
            msg = f"{unknown('cell', name, known)} `--collect-only -q` lists all of the plan."
            raise UsageError(msg)
        ids[f"{CELLS_FILE}::{name}"] = None
    return list(ids)
