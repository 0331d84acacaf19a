"""Which files of a user's a process has run: what only a build can tell, since models import inside functions."""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from pathlib import Path

from harness.bench.group import MARKER
from harness.bench.places import PACKAGE

_INSTALLED = frozenset({"site-packages", "dist-packages"})


def imported_code() -> dict[str, str]:
    """The Python files of this process's modules that are a user's: path to the first 16 digits of its SHA-256.

    Those are the model's own file and whatever it imported, wherever it lies, but for installed packages and the
    standard library (the identity of the environment covers them), the harness itself, and what a framework wrote
    into the attempt's own folder to import it at once (torch does, under another name each time).
    """
    attempt = os.environ.get(MARKER, "")
    left_out = [PACKAGE, *(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))]
    left_out += [Path(attempt).resolve()] if attempt else []
    found = {}
    # A module may drop out while its neighbours are looked at: some make others when they are asked for a name.
    for module in list(sys.modules.values()):
        file = vars(module).get("__file__") if hasattr(module, "__dict__") else None
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        path = Path(file).resolve()
        foreign = _INSTALLED & set(path.parts) or any(folder in path.parents for folder in left_out)
        if path.is_file() and not foreign:
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return dict(sorted(found.items()))
