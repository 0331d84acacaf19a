"""What ends a command: one class a cause, with its exit code and what to do about it.

Both worlds raise these, the pinned environments and the harness's own. A message says what is wrong and what to do
next; where the remedy is the same for every such error, the class has it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar


class HarnessError(Exception):
    """The base of all of them. `exit_code` is the command's; `remedy` ends the message."""

    exit_code: ClassVar[int] = 3
    remedy: ClassVar[str] = ""

    def __str__(self) -> str:
        """The message, and the remedy of the class after it."""
        return " ".join(part for part in (super().__str__(), self.remedy) if part)


class UsageError(HarnessError):
    """Wrong use or unreadable input. Nothing was written."""

    exit_code = 2


class ModelsWrongError(UsageError):
    """Models of a user's own are wrong whatever the versions; the message says where, and what to mend."""


class FilesRefusedError(UsageError):
    """Files cannot be read at all, whatever the environment; `files` are the models of a user's own among them."""

    def __init__(self, message: str, files: Iterable[Path] = ()) -> None:
        super().__init__(message)
        self.files = frozenset(files)


class NoEvidenceError(HarnessError):
    """There is nothing that a verdict could rest on; the message says what to run."""


class PausedError(HarnessError):
    """An attempt has not come to its end; the message says why, and how to go on."""


class InfrastructureError(HarnessError):
    """The machine, the network or a tool failed. It is no result: nothing goes into `results/`."""

    remedy = "Mend that, and run the same command again: it goes on with what is recorded."


class IndexUnreachableError(InfrastructureError):
    """The package index could not be reached."""

    remedy = (
        "Check the network and the index's settings (UV_DEFAULT_INDEX, UV_INDEX, proxies), and run the same command "
        "again: it goes on with what is recorded."
    )


class DiskFullError(InfrastructureError):
    """No space is left where the harness writes."""

    remedy = (
        "Make room (`harness clean` shows what the harness and uv's cache take, and removes what it is given), and run "
        "the same command again: it goes on with what is recorded."
    )


class NotWritableError(InfrastructureError):
    """A folder that the harness has to write to refuses."""

    remedy = "Give yourself the right to write there, or run from a checkout that you may write to."


class StoreRefusedError(InfrastructureError):
    """A tracking store did not take what was found."""

    remedy = "See that it can be reached and lets you write, and run the same command again, or leave it out."


class ToolBrokenError(InfrastructureError):
    """tox or uv did not do its work, and did not say that the pins are to blame."""


class EnvironmentChangedError(InfrastructureError):
    """An environment is not what was installed from its lock, and reinstalling did not mend it."""


class InterpreterGoneError(InfrastructureError):
    """The environment's interpreter has gone while cells ran."""


class BenchBrokenError(InfrastructureError):
    """The bench itself did not start, or died more than once."""

    remedy = "If the lines above do not tell what to mend, report it: this may be a bug in the harness."


class RunInterruptedError(InfrastructureError):
    """A person or the system ended the run by a signal."""

    remedy = "Run the same command again to go on from the last recorded cell."


class NothingRecordedError(RunInterruptedError):
    """The same of a command that records no cells."""

    remedy = "It records no cells: the same command begins anew."


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist, with the nearest that does."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"unknown {what} {name!r}. Did you mean {near[0]!r}?"
    return f"unknown {what} {name!r}. There are: {', '.join(names) or 'none'}."
