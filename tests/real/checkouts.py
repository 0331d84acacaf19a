"""A small checkout of its own, whose environment takes seconds to install, and the preparing of it as a process.

``python -m tests.real.checkouts ROOT`` prepares the environment `small` of a checkout as `harness run` does, prints
what a person is told, one line of JSON each, and ends with the exit code that `harness` would have.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from harness.bench.errors import HarnessError
from harness.bench.signals import raise_on_termination
from harness.matrix.combination import read
from harness.matrix.environment import FactOfPins, Prepared
from harness.matrix.installing import holding, prepare_environment
from harness.matrix.locks import Lock, lock, read_lock

CHECKOUT = Path(__file__).resolve().parents[2]
NAME = "small"


def make_checkout(root: Path, *requirements: str) -> Path:
    """A checkout with one combination, locked with what the bench needs."""
    (root / "matrices").mkdir(parents=True)
    (root / "harness" / "bench").mkdir(parents=True)
    for file in ("tox.ini", "toxfile.py", "harness/bench/requirements.in"):
        shutil.copy(CHECKOUT / file, root / file)
    relock(root, *requirements)
    return root


def relock(root: Path, *requirements: str) -> Lock:
    """Pin something else."""
    # Filelock comes with torch; what has no torch has to ask for it.
    lines = ["# python: 3.11", "filelock", *requirements]
    (root / "matrices" / f"{NAME}.in").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lock(root, read(root, NAME))


def prepare(root: Path, tell: Callable[[str], None] = print) -> Prepared | FactOfPins:
    """The environment of a checkout, as `harness run` prepares it; everything that a person is told goes to `tell`."""
    with holding(root, NAME, tell):
        made = read_lock(root, read(root, NAME))
        return prepare_environment(root, NAME, made, log=log_of(root), note=tell, busy=lambda text: None)


def log_of(root: Path) -> Path:
    """What tox and uv printed."""
    return root / ".harness" / "logs" / "install.log"


def main() -> int:
    """Prepare, and tell in JSON."""

    def tell(text: str) -> None:
        print(json.dumps({"note": text}), flush=True)

    try:
        with raise_on_termination():
            prepared = prepare(Path(sys.argv[1]), tell)
    except HarnessError as error:
        print(json.dumps({"error": type(error).__name__, "told": str(error)}))
        return error.exit_code
    except KeyboardInterrupt:
        return 3
    if isinstance(prepared, FactOfPins):
        print(json.dumps({"fact": prepared.error_type, "stage": prepared.stage.value, "reason": prepared.reason}))
    else:
        print(json.dumps({"packages": dict(prepared.packages)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
