"""Which files of a user's a process has run: what only a build can tell, since models import inside functions."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from harness.bench.own_code import is_users


def imported_code() -> dict[str, str]:
    """The Python files of this process's modules that are a user's: path to the first 16 digits of its SHA-256.

    Those are the model's own file and whatever it imported, wherever it lies, but for what `is_users` leaves out; the
    identity of the environment covers installed packages and the standard library.
    """
    found = {}
    # A module may drop out while its neighbours are looked at: some make others when they are asked for a name.
    for module in list(sys.modules.values()):
        file = vars(module).get("__file__") if hasattr(module, "__dict__") else None
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        path = Path(file).resolve()
        if path.is_file() and is_users(path):
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return dict(sorted(found.items()))
