"""A failure's signature: equal for equal causes, whatever the addresses, paths, shapes."""

from __future__ import annotations

import hashlib
import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from harness.bench.record import ERROR_LENGTH

_ROOT = Path(__file__).resolve().parents[2]

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

_PATTERNS = (
    (re.compile(r"<temporary>/[^\s/'\",:;)\]]+"), "<temporary>/#"),
    (re.compile(r"0x[0-9a-fA-F]+"), "0x#"),
    (re.compile(r"[\[({]\s*-?\d+(?:\s*[,x]\s*-?\d+)*\s*,?\s*[\])}]"), "[#]"),
    (re.compile(r"(?<![A-Za-z0-9])-?\d+(?:x\d+)+"), "#"),
    (re.compile(r"(?<![A-Za-z0-9])-?\d+(?:\.\d+)*(?:e[+-]?\d+)?"), "#"),
    (re.compile(r"\s+"), " "),
)


def normalise_paths(text: str, scratch: Path | None = None) -> str:
    """Replace the folders that differ between machines and runs by what they are; colours of a terminal go too."""
    text = _ESCAPES.sub("", text)
    places = [
        *([(str(scratch), "<scratch>")] if scratch else []),
        (sysconfig.get_path("purelib"), "<site-packages>"),
        (sys.prefix, "<environment>"),
        (sys.base_prefix, "<python>"),
        (str(_ROOT), "<harness>"),
        (tempfile.gettempdir(), "<temporary>"),
        (str(Path.home()), "~"),
    ]
    for place, name in places:
        if place == "/":
            continue
        # Whole names only: /usr is no part of /usrdata, nor /tmp of /var/tmp.
        text = re.sub(rf"(?<![\w.-]){re.escape(place)}(?![\w-])", name, text)
    return text


def shorten(text: str) -> str:
    """At most `ERROR_LENGTH` characters in one line, the beginning and the end of it kept."""
    line = " ".join(text.split())
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
    line = _telling(text)
    for pattern, replacement in _PATTERNS:
        line = pattern.sub(replacement, line)
    return hashlib.sha256(f"{error_type}|{line.strip()}".encode()).hexdigest()[:12]
