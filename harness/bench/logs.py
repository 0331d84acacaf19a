"""What a child prints: kept in a file that cannot grow without bounds, and read from its end."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from harness.bench.text import printable

LOG_FILE = "log.txt"
"""What a child printed, beside its request."""

LARGEST = 16 * 2**20
"""Bytes that a log may have on disk."""

_KEPT = 2**16
_ERROR = re.compile(r"\W*(?:ERROR|FATAL|CRITICAL)\b\W*(?P<text>.+)", re.IGNORECASE)
_RAISED = re.compile(r"(?P<text>[A-Za-z_][\w.]*(?:Error|Exception): .+)")
_CUT = b"[... %d MiB were printed before this and are not kept ...]\n"


class CappedLog:
    """A file that takes everything and keeps the end: beyond `LARGEST` it begins anew with its last part.

    A disk that is full costs what was printed, and nothing else.
    """

    def __init__(self, path: Path) -> None:
        self._written = 0
        self._size = 0
        self._last = b""
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW, 0o644)

    def write(self, chunk: bytes) -> None:
        """Take what was printed."""
        if self._file < 0:
            return
        self._written += len(chunk)
        with contextlib.suppress(OSError):
            if self._size + len(chunk) > LARGEST:
                os.ftruncate(self._file, 0)
                self._size = 0
                chunk = _CUT % (self._written // 2**20) + self._last + chunk
            self._last = (self._last + chunk)[-_KEPT:] if len(chunk) < _KEPT else chunk[-_KEPT:]
            self._size += os.write(self._file, chunk)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class UnreadableError(Exception):
    """A file that a child left is no file that can be read; the message says what it is."""


def read_end(path: Path, most: int, *, whole: bool = False) -> bytes:
    """The last `most` bytes of a file that somebody else may have tampered with; nothing where there is none.

    Raises `UnreadableError` for what is no regular file (a pipe would block, a device never end), for a link, and
    with `whole` for a larger file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    except OSError as error:
        msg = f"it cannot be opened: {error.strerror}"
        raise UnreadableError(msg) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        msg = "it is no regular file"
        raise UnreadableError(msg)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        if whole and status.st_size > most:
            msg = f"it has {status.st_size} bytes"
            raise UnreadableError(msg)
        file.seek(max(0, status.st_size - most))
        return file.read(most)


def tail(path: Path, size: int) -> str:
    """The last `size` bytes of a log as text; nothing where it cannot be read."""
    with contextlib.suppress(UnreadableError, OSError):
        return read_end(path, size).decode("utf-8", "replace")
    return ""


def said_in(log: str) -> str:
    """What a tool says of its failure in what it printed: the last error of a traceback, else its first "ERROR:" line.

    The first, since advice follows; empty where there is none.
    """
    lines = [line.strip() for line in printable(log).splitlines()]
    raised = [found["text"] for found in map(_RAISED.fullmatch, lines) if found]
    errors = [found["text"].strip() for found in map(_ERROR.fullmatch, lines) if found]
    return raised[-1] if raised else errors[0] if errors else ""
