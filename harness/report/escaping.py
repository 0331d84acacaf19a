"""Text of tools and users in Markdown, where GitHub and GitLab must show it, and neither notify nor link anybody."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.bench.text import one_line

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~])")

_LINE_START = re.compile(r"[-+=]+|[0-9]+[.)]")
"""A first word that would begin a list, a rule or a heading."""

_ALIVE = re.compile(
    r"""
    [@#<&$`]                             # mentions, references, HTML, entities, mathematics, code
    | [!%^~](?=[\w"{])                   # merge requests, milestones and labels of GitLab; footnotes
    | :// | www\.                        # bare addresses
    | \b[a-z]\w*-\d                      # references by prefix, such as GH-1 and CVE-2024-1
    | \b[0-9a-f]{7,40}\b                 # commits
    | :[\w+-]*[a-z][\w+-]*:              # emoji
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What is linked, notified of or rendered in running text, whatever backslash stands before it; code is left alone.
After https://docs.github.com/en/get-started/writing-on-github and https://docs.gitlab.com/user/markdown."""

_WORD = re.compile(r"([(\[{\"',;:.]*)(.*?)([)\]}\"',;:.]*)")


def text(value: str) -> str:
    """`value` in one line that is shown as it is; a word that something would come of is a code span."""
    first, *rest = one_line(value).split() or [""]
    start = f"{first[:-1]}\\{first[-1]}" if _LINE_START.fullmatch(first) else _word(first)
    return " ".join([start, *map(_word, rest)])


def code(value: str) -> str:
    """`value` in one line as a code span."""
    line = one_line(value)
    fence = "`" * (1 + _longest_run([line]))
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}" if line else ""


def sentence(value: str) -> str:
    """A sentence of ours: its commands stand between backticks, and a name that is not ours may stand anywhere."""
    parts = value.split("`")
    return "".join(code(part) if number % 2 else _beside_code(part) for number, part in enumerate(parts))


def fenced(lines: Sequence[str], *, indent: int = 0) -> str:
    """Lines as a block of code that keeps every character as it is."""
    shown = [one_line(line) for line in lines]
    fence = "`" * max(3, 1 + _longest_run(shown))
    return "\n".join(" " * indent + line for line in (f"{fence}text", *shown, fence))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of fields that are Markdown already."""
    # A bar ends a field in a code span too. The backslash before it is taken away before anything else is read.
    fields = [[field.replace("|", r"\|") for field in row] for row in rows]
    lines = [header, ["---"] * len(header), *fields]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _word(word: str) -> str:
    found = _WORD.fullmatch(word)
    if found is None or not _ALIVE.search(word):
        return _escaped(word)
    before, inner, after = found.groups()
    return f"{_escaped(before)}{code(inner)}{_escaped(after)}"


def _escaped(word: str) -> str:
    return _MARKUP.sub(r"\\\1", word)


def _beside_code(part: str) -> str:
    """`text` that keeps its distance to the code spans around it."""
    before, after = (" " if end.isspace() else "" for end in (part[:1], part[-1:]))
    return f"{before}{text(part)}{after}" if part.strip() else before


def _longest_run(lines: Sequence[str]) -> int:
    return max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
