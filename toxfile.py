"""One tox environment for each lock in `matrices/locks`.

A toxfile that raises breaks every environment, so this one only lists files and reads a header, with the standard
library, and never raises. All else about these environments is in tox.ini.
"""

from __future__ import annotations

import re
from pathlib import Path

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.plugin import impl
from tox.session.state import State

_LOCKS = Path(__file__).resolve().parent / "matrices" / "locks"
# uv writes the command that made the lock into its head, and with it the Python version.
_PYTHON = re.compile(r"--python-version[ =](3\.\d+)")


def _locks() -> dict[str, str]:
    """Environment name to Python version."""
    found = {}
    for path in sorted(_LOCKS.glob("*.txt")):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                version = _PYTHON.search(file.read(1000))
        except OSError:
            continue
        if version:
            found[path.name.removesuffix(".txt")] = version[1]
    return found


def _environment(name: str) -> str:
    """`torch2.0+tools` is installed as `torch2.0-tools`: tox takes no plus sign in a name."""
    return name.replace("+", "-")


@impl
def tox_extend_envs() -> tuple[str, ...]:
    """Names of the pinned environments."""
    return tuple(map(_environment, _locks()))


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Python version, label and description of each."""
    del core_conf
    for name, python in _locks().items():
        state.conf.memory_seed_loaders[_environment(name)].append(
            MemoryLoader(
                base_python=[f"python{python}"],
                labels={"matrix"},
                description=f"pinned combination {name}",
                set_env={"PYTHONNOUSERSITE": "1", "HARNESS_COMBINATION": name},
            )
        )
