"""How the command ends: its exit code, and what a person is told of an error."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import click

from harness.bench.errors import DiskFullError, HarnessError, NotWritableError, RunInterruptedError, UsageError
from harness.bench.signals import raise_on_termination
from harness.bench.text import printable

COULD_NOT_TELL = 3


class ToldError(click.ClickException):
    """An error whose message is for a person, with the exit code of its class."""

    def __init__(self, error: HarnessError) -> None:
        super().__init__(printable(str(error)))
        self.exit_code = error.exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message."""
        click.echo(f"harness: {self.message}", file=file, err=True)


class BugError(click.ClickException):
    """An error that nobody foresaw. It says nothing of the models: its exit code must not be 1."""

    exit_code = COULD_NOT_TELL

    def __init__(self, error: BaseException) -> None:
        super().__init__(printable("".join(traceback.format_exception(error))))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print where it happened, for a report."""
        click.echo(self.message, file=file, err=True, nl=False)
        click.echo("harness: this is a bug in the harness. Please report it with the lines above.", file=file, err=True)


class Commands(click.Group):
    """Commands that return their exit code, or raise an error of `harness.bench.errors`, which has one."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises is an exception of click's afterwards."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except HarnessError as error:
            raise ToldError(error) from error
        except OSError as error:
            known = error_of_system(error)
            raise (ToldError(known) if known else BugError(error)) from error
        except Exception as error:
            raise BugError(error) from error

    def main(self, args: Sequence[str] | None = None, *rest: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command and exit with its code. SIGTERM and SIGHUP end it as SIGINT does, with 3."""
        if not standalone_mode:
            return super().main(args, *rest, standalone_mode=False, **extra)
        given = list(sys.argv[1:] if args is None else args)
        try:
            with raise_on_termination():
                _refuse_bytes(given)
                code = super().main(given, *rest, standalone_mode=False, **extra) or 0
        except click.ClickException as error:
            error.message = printable(error.message)
            error.show()
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt) as error:
            code = _interrupted(error)
        sys.exit(_flushed(code))


def error_of_system(error: OSError) -> HarnessError | None:
    """What an error of the system means to a person; None where it means that something of ours is wrong."""
    place = _place(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"{place}: no space is left there.")
    if error.errno == errno.ENAMETOOLONG:
        return UsageError(f"{place[:80]}…: the name is too long for a file.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        if isinstance(error.filename, str) and _hidden(Path(error.filename)):
            return UsageError(f"{place}: you may not read it.")
        return NotWritableError(f"{place}: {error.strerror}.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST) and isinstance(error.filename, str):
        path = Path(error.filename)
        file = next((each for each in (path, *path.parents) if each.is_file()), None)
        if file is not None:
            return NotWritableError(f"{_shown(file)} is a file, and the harness needs a folder there.")
    if error.errno == errno.ENOENT and "temporary directory" in str(error.strerror):
        return NotWritableError("there is no folder for temporary files that takes one; look at TMPDIR and its disk.")
    return None


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Names end up in plans and tables, which are UTF-8."""
    for argument in arguments:
        try:
            os.fsencode(argument).decode("utf-8")
        except UnicodeDecodeError:
            error = UsageError(f"{argument}: this name is no UTF-8. Rename the file, and name it anew.")
            raise ToldError(error) from None


def _interrupted(error: BaseException) -> int:
    asked = error.__cause__ or error
    told = ToldError(RunInterruptedError(f"{asked}." if str(asked) else "interrupted."))
    told.show()
    return told.exit_code


def _flushed(code: int) -> int:
    """The code, or 3 in the place of 0 where what was printed could not be written whole."""
    try:
        sys.stdout.flush()
    except OSError as error:
        known = error_of_system(error)
        told = ToldError(known) if known else BugError(error)
        told.show()
        return code or told.exit_code
    return code


def _hidden(path: Path) -> bool:
    with contextlib.suppress(OSError):  # in a folder that one may not look into
        return path.is_file() and not os.access(path, os.R_OK)
    return True


def _place(error: OSError) -> str:
    if not isinstance(error.filename, str):
        return "a file"
    return str(_shown(Path(error.filename)))


def _shown(path: Path) -> Path:
    with contextlib.suppress(OSError, ValueError):  # the working directory has gone, or it is not in it
        return path.relative_to(Path.cwd())
    return path
