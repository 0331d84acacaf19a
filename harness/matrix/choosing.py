"""Which of the environments that are installed already something is to be done in, where nobody has named one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.matrix import combination as combinations
from harness.matrix.environment import clean_environ, last_used, python_of

_TIMEOUT_S = 60.0

# Nothing is imported: a user's package may do anything then.
_ASKED = """
import importlib.util, json, sys

def is_there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False

print(json.dumps([name for name in sys.argv[1:] if not is_there(name)]))
"""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An environment by its combination's name, what it lacks of the modules that are needed, and which one has it."""

    name: str
    lacks: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] = field(default_factory=dict)


def installed(root: Path) -> list[str]:
    """The combinations whose environments are there, the one that was used last first."""
    names = [name for name in combinations.known(root) if python_of(root, name).is_file()]
    return sorted(names, key=lambda name: last_used(root, name), reverse=True)


def choose(root: Path, modules: Collection[str]) -> Choice | None:
    """Of those, the one that lacks the fewest of `modules`; None where none is installed."""
    lacking = {name: _lacking(python_of(root, name), modules) for name in installed(root)}
    if not lacking:
        return None
    name = min(lacking, key=lambda each: len(lacking[each]))
    return Choice(name=name, lacks=lacking[name], elsewhere=_elsewhere(lacking[name], lacking))


def held_against(root: Path, name: str, python: Path, modules: Collection[str]) -> Choice:
    """The environment called `name`, which somebody has chosen, likewise."""
    lacks = _lacking(python, modules)
    others = {other: _lacking(python_of(root, other), lacks) for other in installed(root) if other != name and lacks}
    return Choice(name=name, lacks=lacks, elsewhere=_elsewhere(lacks, others))


def _elsewhere(lacks: Iterable[str], lacking: Mapping[str, Collection[str]]) -> dict[str, str]:
    """For each module the first environment that has it, where there is one."""
    found = {}
    for module in sorted(lacks):
        having = [name for name, those in lacking.items() if module not in those]
        if having:
            found[module] = having[0]
    return found


def _lacking(python: Path, modules: Collection[str]) -> frozenset[str]:
    """Those of the top-level `modules` that an interpreter does not find; all where it does not answer."""
    if not modules:
        return frozenset()
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _ASKED, *sorted(modules)],
            env=clean_environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        return frozenset(json.loads(done.stdout))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return frozenset(modules)
