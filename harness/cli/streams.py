"""Standard output and error that cannot end the command: closed, gone, or of an encoding that lacks a character."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

_GONE = {errno.EPIPE, errno.EIO, errno.EBADF}
"""The reader has ended (`| head -1`), the terminal was closed, nothing is open there."""


_NAMES = {1: "standard output", 2: "standard error"}


class _Output(io.FileIO):
    """A descriptor that goes on to nowhere when nobody reads it any more.

    It is here, below all buffers, that every writer passes: ours, click's and rich's, the traceback, and the flush at
    the interpreter's end. Each of them would end the command in its own way, with 1 or 120.
    """

    def write(self, data: Any) -> int:
        """What `FileIO.write` does; raises `OSError` once where something else than the reader is at fault."""
        try:
            return super().write(data)
        except OSError as error:
            # What is inherited by tools that we start is as harmless to them.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if error.errno not in _GONE:
                raise OSError(error.errno, error.strerror, _NAMES[self.fileno()]) from None
            return len(memoryview(data).cast("B"))


def mend_streams() -> None:
    """Put streams in the place of `sys.stdout` and `sys.stderr` that swallow what nobody reads.

    A descriptor that is closed is opened to nowhere first: otherwise the next file that is opened would get its number,
    and hold what is printed.
    """
    for number in range(3):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdout = _mended(sys.stdout, 1)
    sys.stderr = _mended(sys.stderr, 2)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _mended(stream: TextIO | None, number: int) -> TextIO:
    raw = _Output(number, "w", closefd=False)
    if stream is not None:
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(stream, "encoding", None),
        errors="replace",
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )
