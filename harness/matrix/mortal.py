"""Runs a command for as long as a parent lives: ``python -I mortal.py PARENT COMMAND…``.

The kernel tells this process when its parent dies, however that dies; then it kills its own group, in which the command
and all that the command starts are. A file of its own, run by its path, so that starting it costs a few milliseconds.
Its exit code is the command's, or 128 and the number of the signal that ended it.
"""

import ctypes
import os
import signal
import subprocess
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_CANNOT_START = 127


def _end(*_: object) -> NoReturn:
    os.killpg(0, signal.SIGKILL)
    raise SystemExit(_CANNOT_START)  # not reached: this process is of that group


def main(parent: int, command: list[str]) -> int:
    """Run `command`; its exit code."""
    # Signals that end the group politely are the command's to act on; the parent kills what does not.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, _end)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)
    if os.getppid() != parent:
        _end()  # it died before it could be heard of
    try:
        # Ignored signals would be inherited.
        process = subprocess.Popen(command, preexec_fn=_default_signals)  # noqa: PLW1509 - there are no threads here
    except OSError as error:
        print(f"error: {command[0]} could not be started: {error.strerror}", file=sys.stderr)  # noqa: T201 - into a log
        return _CANNOT_START
    code = process.wait()
    return code if code >= 0 else 128 - code


def _default_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
