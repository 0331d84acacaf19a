"""Files that a person names for what a command tells: refused before anything runs, and written whole."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from harness.bench.errors import DiskFullError, NotWritableError, UsageError
from harness.cli.context import shown

_STDOUT, _STDERR = 1, 2


def refuse_unwritable(path: Path, option: str) -> None:
    """Raise `UsageError` where `path`, given by `option`, cannot be written. Nothing is left of what that took."""
    if reason := _reason(path, _obstacle):
        msg = f"{option}: {shown(path)} cannot be written: {reason} Name another file."
        raise UsageError(msg)


def refuse_unwritable_folder(folder: Path, option: str) -> None:
    """The same of a folder that is written to, and made where it is not there; `option` names another one."""
    if reason := _reason(folder, _obstacle_of_folder):
        msg = f"{shown(folder)} cannot be written: {reason} Name another folder by {option}."
        raise UsageError(msg)


def write_whole(path: Path, text: str) -> None:
    """Write a file, and its folder where there is none: a reader finds the old file or the new one, never a part.

    A link stays, and what it leads to is written. A pipe or a device is written to as it is. Raises `DiskFullError` and
    `NotWritableError`.
    """
    with _telling(path):
        # What is printed as well is in the stream's buffer, and has to come first.
        if (descriptor := _stream(path)) is not None:
            click.echo(text, nl=False, err=descriptor == _STDERR)
        elif is_special(path):
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
        else:
            _replace(Path(os.path.realpath(path)), text)


def append(path: Path, text: str) -> None:
    """Write at the end of a file that others write to as well. Raises as `write_whole`."""
    with _telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)


def is_special(path: Path) -> bool:
    """Whether there is a pipe, a device or a socket."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _reason(path: Path, obstacle: Callable[[Path], str]) -> str:
    """What `obstacle` says, or the system in its place. Raises `DiskFullError`, which no other name mends."""
    try:
        return obstacle(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _told(path, error) from error
        return f"{error.strerror}."


def _obstacle(path: Path) -> str:
    """Why `path` cannot be written, a sentence; empty where it can. Raises `OSError` where the system says why."""
    if path.is_dir():
        return "it is a folder."
    if path.exists() and not os.access(path, os.W_OK):
        return "you may not write to it."
    if is_special(path) or _stream(path) is not None:
        return ""
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        return "it is a link that leads to itself."
    return _obstacle_of_folder(target.parent)


def _obstacle_of_folder(folder: Path) -> str:
    """The same of what is written in `folder`, which need not be there."""
    folder = Path(os.path.realpath(folder))
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        return f"{shown(there)} is a file, and the harness needs a folder there."
    # Rights alone do not tell: nobody makes a file in /proc, nor in a file system that is read-only.
    with tempfile.TemporaryDirectory(dir=there, prefix=".harness-"):
        return ""


def _stream(path: Path) -> int | None:
    """The descriptor of our own stdout or stderr where `path` is that, as /dev/stdout is."""
    with contextlib.suppress(OSError):
        found = path.stat()
        for descriptor in (_STDOUT, _STDERR):
            with contextlib.suppress(OSError):  # it is closed
                if os.path.samestat(found, os.fstat(descriptor)):
                    return descriptor
    return None


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{secrets.token_hex(6)}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _told(path, error) from error


def _told(path: Path, error: OSError) -> DiskFullError | NotWritableError:
    kind = DiskFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else NotWritableError
    return kind(f"{shown(path)} could not be written: {error.strerror}.")
