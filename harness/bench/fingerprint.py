"""A failure's signature: equal for equal causes, whatever the addresses, paths, shapes."""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.bench.places import CODE
from harness.bench.record import ERROR_LENGTH
from harness.bench.text import one_line, printable

_PATTERNS = (
    (re.compile(r"<temporary>/[^\s/'\",:;)\]]+"), "<temporary>/#"),
    (re.compile(r"0x[0-9a-fA-F]+"), "0x#"),
    (re.compile(r"[\[({]\s*-?\d+(?:\s*[,x]\s*-?\d+)*\s*,?\s*[\])}]"), "[#]"),
    (re.compile(r"(?<![A-Za-z0-9])-?\d+(?:x\d+)+"), "#"),
    (re.compile(r"(?<![A-Za-z0-9])-?\d+(?:\.\d+)*(?:e[+-]?\d+)?"), "#"),
    (re.compile(r"\s+"), " "),
)


# Which output differs is no cause of its own, and is told by its number in tables of schema 1 and 2.
_OUTPUT = re.compile(r"""\boutputs?(?:\.\w+|\[(?:\d+|'[^']*'|"[^"]*")\])*(?=: )""")
_LISTED = re.compile(r"( outputs instead of \d+) \(.*\)$")


def normalise_paths(text: str, scratch: Path | None = None, *, own: Sequence[Path] = ()) -> str:
    """`printable` text in which the folders that differ between machines and runs are told by what they are.

    Files in the folders `own` keep their whole path, so that a user finds a line of theirs.
    """
    text = printable(text)
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\0{len(kept) - 1}\0"

    for folder in own:
        text = re.sub(rf"(?<![\w.-]){re.escape(printable(str(folder)))}/[^\s'\",:;)\]]+\.py(?![\w-])", keep, text)
    for place, name in _places(scratch):
        # Whole names only: /usr is no part of /usrdata, nor /tmp of /var/tmp.
        text = re.sub(rf"(?<![\w.-]){re.escape(printable(place))}(?![\w-])", name, text)
    return re.sub("\0(\\d+)\0", lambda found: kept[int(found[1])], text)


def _places(scratch: Path | None) -> Iterator[tuple[str, str]]:
    """Folders and their names, the inner before the outer."""
    if scratch:
        yield str(scratch), "<scratch>"
    known = [
        (sysconfig.get_path("purelib"), "<site-packages>"),
        (sys.prefix, "<environment>"),
        (sys.base_prefix, "<python>"),
        (str(CODE), "<harness>"),
    ]
    # A container's user may have no home, and a machine whose disk is full has no place for temporary files.
    with contextlib.suppress(OSError):
        known.append((tempfile.gettempdir(), "<temporary>"))
    with contextlib.suppress(RuntimeError):
        known.append((str(Path.home()), "~"))
    known.sort(key=lambda each: len(each[0]), reverse=True)
    yield from ((place, name) for place, name in known if Path(place).is_absolute() and place != "/")


def shorten(text: str) -> str:
    """At most `ERROR_LENGTH` characters in one printable line, the beginning and the end of it kept."""
    line = one_line(text)
    if len(line) <= ERROR_LENGTH:
        return line
    tail = 120
    return line[: ERROR_LENGTH - tail - 3] + " … " + line[-tail:]


def _telling(text: str) -> str:
    """The first line of a message, and the last one too where the first only announces it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    return f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") else lines[0]


def fingerprint(error_type: str, text: str) -> str:
    """First 12 hexadecimal digits of the SHA-256 of the error's type and its normalised message."""
    line = _telling(printable(text))
    if error_type == "Mismatch":
        line = _LISTED.sub(r"\1", _OUTPUT.sub("output 0", line))
    for pattern, replacement in _PATTERNS:
        line = pattern.sub(replacement, line)
    return hashlib.sha256(f"{printable(error_type)}|{line.strip()}".encode()).hexdigest()[:12]
