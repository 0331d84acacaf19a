"""How the command ends: its exit code, and what a person is told of an error."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import click

from harness.bench.errors import (
    DiskFullError,
    HarnessError,
    NothingRecordedError,
    NotWritableError,
    RunInterruptedError,
    UsageError,
)
from harness.bench.signals import raise_on_termination
from harness.bench.text import printable
from harness.cli.context import say

COULD_NOT_TELL = 3

_RECORDING = frozenset({"run", "gate", "bump", "duel", "advise", "lock"})
"""The commands that go on with what they have recorded where they are given again."""


class ToldError(click.ClickException):
    """An error whose message is for a person."""

    exit_code = COULD_NOT_TELL

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message."""
        click.echo(f"harness: {self.message}", file=file, err=True)


class RefusedError(ToldError):
    """The same of wrong use."""

    exit_code = UsageError.exit_code


class BugError(ToldError):
    """An error that nobody foresaw. It says nothing of the models: its exit code must not be 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print where it happened, for a report."""
        click.echo("".join(traceback.format_exception(self.__cause__)), file=file, err=True, nl=False)
        super().show(file)


class Commands(click.Group):
    """Commands that return their exit code, or raise an error of `harness.bench.errors`, which has one."""

    _invoked: str | None = None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises is an exception of click's afterwards."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            raise told(error) from error
        finally:
            self._invoked = ctx.invoked_subcommand

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command and exit with its code. SIGTERM and SIGHUP end it as SIGINT does, with 3."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        given = list(sys.argv[1:] if args is None else args)
        try:
            with raise_on_termination():
                _refuse_bytes(given)
                code: int = super().main(given, prog_name, complete_var, standalone_mode=False, **extra) or 0
        except click.ClickException as error:
            code = _shown(error)
        except (click.Abort, KeyboardInterrupt) as error:
            asked = str(error.__cause__ or error)
            interrupted = RunInterruptedError if self._invoked in _RECORDING else NothingRecordedError
            code = _shown(told(interrupted(f"{asked}." if asked else "interrupted.")))
        sys.exit(_flushed(code))


def told(error: Exception) -> ToldError:
    """What a person is told of `error`."""
    known = error_of_system(error) if isinstance(error, OSError) else error
    if isinstance(known, UsageError):
        return RefusedError(str(known))
    if isinstance(known, HarnessError):
        return ToldError(str(known))
    return BugError("this is a bug in the harness. Please report it with the lines above.")


def _shown(error: click.ClickException) -> int:
    """Print an error, whatever is in the names that it tells, and return its exit code."""
    text = io.StringIO()
    error.show(text)
    say(printable(text.getvalue()).removesuffix("\n"), err=True)
    return error.exit_code


def _flushed(code: int) -> int:
    """The code, or 3 in the place of 0 where what was printed could not be written whole."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return code or _shown(told(error))
    return code


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Names end up in plans and tables, which are UTF-8."""
    wrong = next((argument for argument in arguments if not _is_utf8(argument)), None)
    if wrong is not None:
        raise told(UsageError(f"{wrong}: this name is no UTF-8. Rename the file, and name it anew."))


def _is_utf8(argument: str) -> bool:
    # Surrogates stand for the bytes that the locale's encoding does not know; what they were counts.
    try:
        os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return False
    return True


def error_of_system(error: OSError) -> HarnessError | None:
    """What an error of the system means to a person; None where it means that something of ours is wrong."""
    path = Path(error.filename) if isinstance(error.filename, str) else None
    place = _from_here(path) if path else "a file"
    found: HarnessError | None = None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        found = DiskFullError(f"{place}: no space is left there.")
    elif error.errno == errno.ENAMETOOLONG:
        found = UsageError(f"{str(place)[:80]}…: the name is too long for a file.")
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        unreadable = path is not None and _is_unreadable(path)
        found = (
            UsageError(f"{place}: you may not read it.")
            if unreadable
            else NotWritableError(f"{place}: {error.strerror}.")
        )
    elif error.errno in (errno.ENOTDIR, errno.EEXIST) and path is not None:
        file = next((each for each in (path, *path.parents) if each.is_file()), None)
        if file is not None:
            found = NotWritableError(f"{_from_here(file)} is a file, and the harness needs a folder there.")
    elif error.errno == errno.ENOENT and "temporary directory" in str(error.strerror):
        found = NotWritableError("no folder for temporary files takes any: see TMPDIR, and the disk that it is on.")
    return found


def _is_unreadable(path: Path) -> bool:
    with contextlib.suppress(OSError):  # in a folder that one may not look into
        return path.is_file() and not os.access(path, os.R_OK)
    return True


def _from_here(path: Path) -> Path:
    with contextlib.suppress(OSError, ValueError):  # the working directory has gone, or it is not in it
        return path.relative_to(Path.cwd())
    return path
