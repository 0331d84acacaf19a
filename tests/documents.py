"""The output that documents show, written anew from the committed tables: ``python -m tests.documents``.

A block ``<!-- output: harness compare torch2.0 torch2.1 -->`` … ``<!-- /output -->`` holds what that command prints.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from harness.cli import cli

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "docs/findings.md")

_BLOCK = re.compile(
    r"(<!-- output: harness (?P<command>[^\n]*?) -->\n```\w*\n)(?P<output>.*?)(```\n<!-- /output -->)", re.DOTALL
)


def printed(command: str) -> str:
    """What `harness COMMAND` prints in the checkout."""
    done = CliRunner().invoke(cli, ["--root", str(ROOT), *shlex.split(command)])
    return re.sub(r"[ \t]+\n", "\n", done.stdout)


def rendered(text: str, run: Callable[[str], str] = printed) -> str:
    """A document with the output of each block as the command prints it now."""
    return _BLOCK.sub(lambda block: f"{block[1]}{run(block['command'])}{block[4]}", text)


def existing() -> list[Path]:
    """The documents that may hold such blocks."""
    return [ROOT / name for name in DOCUMENTS if (ROOT / name).exists()]


if __name__ == "__main__":
    for path in existing():
        path.write_text(rendered(path.read_text(encoding="utf-8")), encoding="utf-8")
