"""Text of tools and users, made harmless for whatever shows it: a table, a terminal, a log, a comment.

What enters a record goes through `printable`, so that no outlet meets a character that acts or hides; a table's cells
go through `neutral`, since a spreadsheet runs what looks like a formula. Markdown has its own escaping in
`harness.report.escaping`.
"""

from __future__ import annotations

import re

_SEQUENCES = re.compile(
    r"""
    (?:\x1b\[ | \x9b) [0-?]* [ -/]* [@-~]                        # CSI: colours, moving the cursor, clearing
    | (?:\x1b[\]PX^_] | [\x90\x98\x9d\x9e\x9f]) [^\x07\x1b\x9c\n]*  # OSC, DCS, SOS, PM, APC: titles, links, clipboards,
      (?:\x07 | \x1b\\ | \x9c)                                   # ... with the text that they carry, up to their end
    | \x1b [ -/]+ [0-~]                                          # character sets and the like
    """,
    re.VERBOSE,
)
"""The control sequences of ECMA-48, in their 7-bit and their 8-bit form. An unfinished one is no sequence: what is
left of it is shown."""

_LINE_ENDS = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")

_ASCII = re.compile(r"[ -~\n]*")

_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)
"""What Unicode counts as letters, marks or symbols, and nobody sees: Default_Ignorable_Code_Point less what
`str.isprintable` refuses anyway, and the empty Braille pattern."""

_FORMULA = re.compile(r"(^|;)(\s*)('*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
_NEUTRALISED = re.compile(r"(^|;)(\s*)'('*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


def printable(text: str) -> str:
    r"""`text` as what it is and nothing more: its lines are kept, and nothing in them acts, hides or turns direction.

    Control sequences of terminals go; tabs and other white space are spaces. Control, bidirectional, invisible,
    unassigned characters and halves of surrogate pairs are shown by their escapes, such as ``\x00`` or ``\u202e``.
    """
    if _ASCII.fullmatch(text):
        return text
    text = _LINE_ENDS.sub("\n", _SEQUENCES.sub("", text))
    return "".join(c if c == "\n" else " " if c.isspace() else c if _is_shown(c) else _escape(c) for c in text)


def one_line(text: str) -> str:
    """`printable` text in one line, with single spaces."""
    return " ".join(printable(text).split())


def size(number_of_bytes: float) -> str:
    """A size for a person: `6.4 GiB`."""
    gib = number_of_bytes / 2**30
    return f"{gib:.1f} GiB" if gib >= 1 else f"{number_of_bytes / 2**20:.0f} MiB"


def neutral(text: str) -> str:
    """`text` as a spreadsheet shows it: an apostrophe stands before what it would take for the start of a formula.

    A semicolon starts a field where the decimal mark is a comma. `original` takes the apostrophes away again. See
    https://owasp.org/www-community/attacks/CSV_Injection.
    """
    return _FORMULA.sub(r"\1\2'\3", text)


def original(text: str) -> str:
    """The inverse of `neutral`."""
    return _NEUTRALISED.sub(r"\1\2\3", text)


def _is_shown(character: str) -> bool:
    return character.isprintable() and character not in _INVISIBLE


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
