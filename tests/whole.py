"""``python -m tests.whole [PYTEST'S ARGUMENTS]``: all tests but the long ones, in three parts.

Those that start nothing heavy run side by side, a process a core. After them come those that build environments
(`real`), in two processes: those that use the same environment one after another (`tests/conftest.py`). Last, and one
at a time, come those that measure (`alone`), which others beside them would falsify.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

PARTS = {
    "not long and not real and not alone": ("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"),
    "not long and real and not alone": ("-n", "2", "--dist", "loadscope", "--no-loadscope-reorder"),
    "not long and alone": (),
}
"""Which tests, and how they are run: in the order of their files, by which those that take longest do not come last."""

SLOWEST = 25
"""So many of each part's slowest tests are named: the whole stays under half an hour by these."""

NOTHING_COLLECTED = 5
"""pytest's exit code where no test was left to run, as one part of a selection may have none."""


def main(arguments: Sequence[str]) -> int:
    """Run all parts, whatever the first one finds; the exit code is the first that tells of a failure."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-m", default="")
    selected, others = parser.parse_known_args(arguments)
    codes = []
    for part, how in PARTS.items():
        which = f"({part}) and ({selected.m})" if selected.m else part
        command = [sys.executable, "-m", "pytest", "-m", which, *how, f"--durations={SLOWEST}", *others]
        codes.append(subprocess.run(command, check=False).returncode)
    if set(codes) == {NOTHING_COLLECTED}:
        return NOTHING_COLLECTED
    return next((code for code in codes if code not in (0, NOTHING_COLLECTED)), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
