"""Which files of a user's a process has run: what only a build can tell, since models import inside functions."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.bench.own_code import TESTED, is_users

_LOADED = "harness_loaded_"


def imported_code() -> dict[str, str]:
    """The Python files of this process's modules that are a user's: path to the first 16 digits of its SHA-256.

    Those are the model's own file and whatever it imported, wherever it lies, but for what `is_users` leaves out; the
    identity of the environment covers installed packages and the standard library.
    """
    return {str(path): _digest(path) for path in sorted({path for _, path in _users_modules()})}


def imported_modules() -> dict[str, str]:
    """The same by the names of the modules, without the model's own file: what is the same wherever it lies."""
    return {
        name: _digest(path)
        for name, path in sorted(_users_modules())
        if _LOADED not in name and name.partition(".")[0] not in TESTED
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _users_modules() -> Iterator[tuple[str, Path]]:
    # A module may drop out while its neighbours are looked at: some make others when they are asked for a name.
    for name, module in list(sys.modules.items()):
        file = vars(module).get("__file__") if hasattr(module, "__dict__") else None
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        path = Path(file).resolve()
        if path.is_file() and is_users(path):
            yield name, path
