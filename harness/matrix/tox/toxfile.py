"""One tox environment for each lock: that which the harness names, else all in `matrices/locks` of the checkout.

A toxfile that raises breaks every environment, so this one only lists files and reads a header, with the standard
library, and never raises. It lies beside a tox.ini in the package, which the harness uses, and a checkout links to it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.plugin import impl
from tox.session.state import State
from tox.tox_env.python.pip.req_file import PythonDeps


def _folder() -> Path:
    """The nearest `matrices/locks` above this file."""
    above = [folder / "matrices" / "locks" for folder in Path(__file__).resolve().parents]
    return next((folder for folder in above if folder.is_dir()), above[0])


_LOCKS = _folder()
_LOCK, _NAME = "HARNESS_LOCK", "HARNESS_ENVIRONMENT"
"""Variables by which the harness names one lock, wherever it lies, and the environment for it."""

# uv writes the command that made the lock into its head, and with it the Python version.
_PYTHON = re.compile(r"--python-version[ =](3\.\d+)")


def _locks() -> dict[str, tuple[Path, str]]:
    """Name of the combination to its lock and its Python version."""
    if _LOCK in os.environ and _NAME in os.environ:
        paths = {os.environ[_NAME]: Path(os.environ[_LOCK])}
    else:
        paths = {path.name.removesuffix(".txt"): path for path in sorted(_LOCKS.glob("*.txt"))}
    found = {}
    for name, path in paths.items():
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                version = _PYTHON.search(file.read(1000))
        except OSError:
            continue
        if version:
            found[name] = path, version[1]
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
    """Lock, Python version, label and description of each."""
    del core_conf
    for name, (path, python) in _locks().items():
        escaped = str(path).replace("\\", "\\\\").replace(" ", "\\ ")
        state.conf.memory_seed_loaders[_environment(name)].append(
            MemoryLoader(
                base_python=[f"python{python}"],
                deps=PythonDeps(f"-r {escaped}", path.parent),
                labels={"matrix"},
                description=f"pinned combination {name}",
                set_env={"PYTHONNOUSERSITE": "1", "HARNESS_COMBINATION": name},
            )
        )
