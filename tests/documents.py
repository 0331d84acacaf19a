"""The output that documents show, written anew from the committed tables: ``python -m tests.documents``.

A block ``<!-- output: harness compare torch2.0 torch2.1 -->`` … ``<!-- /output -->`` holds what that command prints.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from harness.bench.definitions import TIERS
from harness.bench.registry import discover
from harness.cli import cli
from harness.report.catalogue import models_page, strategies_page
from harness.report.outlets.document import SCHEMA, schema
from harness.tables.reading import read_table
from harness.tables.schema import Table, columns_markdown

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "docs/findings.md")

_BLOCK = re.compile(
    r"(<!-- output: harness (?P<command>[^\n]*?) -->\n```\w*\n)(?P<output>.*?)(```\n<!-- /output -->)", re.DOTALL
)


def printed(command: str) -> str:
    """What `harness COMMAND` prints in the checkout."""
    arguments = ["--root", str(ROOT), *shlex.split(command), "--results", str(committed_results())]
    with contextlib.chdir(committed_results().parent):  # commands name tables as they can be typed beside them
        done = CliRunner(env={"NO_COLOR": "1", "FORCE_COLOR": None, "COLUMNS": None}).invoke(cli, arguments)
    return re.sub(r"[ \t]+\n", "\n", done.stdout)


def rendered(text: str, run: Callable[[str], str] = printed) -> str:
    """A document with the output of each block as the command prints it now."""
    return _BLOCK.sub(lambda block: f"{block[1]}{run(block['command'])}{block[4]}", text)


@functools.cache
def committed_results() -> Path:
    """A copy of the tables that git knows: those that a run has just left here are not what documents show."""
    listed = subprocess.run(["git", "ls-files", "results"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return ROOT / "results"
    around = Path(tempfile.mkdtemp(prefix="harness-results-"))
    atexit.register(shutil.rmtree, around, ignore_errors=True)
    copy = around / "results"
    for name in listed.stdout.splitlines():
        target = copy / Path(name).relative_to("results")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    return copy


def committed_tables() -> list[Table]:
    """Every complete table by combination; of each, the larger tiers first, and the newer before the older."""
    tables = [read_table(path.parent) for path in committed_results().glob("*/*/*/run.json")]
    newest_first = sorted(tables, key=lambda table: table.run.started, reverse=True)
    kept = [table for table in newest_first if table.run.complete and not table.run.models]
    return sorted(kept, key=lambda table: (table.run.combination, -TIERS.index(table.run.tier)))


def pages() -> dict[str, str]:
    """The pages that are wholly made from metadata and tables, by path."""
    registry, tables = discover(), committed_tables()
    natives = [item for table in tables for item in table.natives.items()]
    parameters = {name: native.parameters for name, native in natives if native.parameters is not None}
    return {
        "docs/strategies.md": strategies_page(registry, tables),
        "model_zoo/README.md": models_page(registry, parameters),
        str(SCHEMA.relative_to(ROOT)): schema(),
    }


def existing() -> list[Path]:
    """The documents that may hold such blocks."""
    return [ROOT / name for name in DOCUMENTS if (ROOT / name).exists()]


def write_columns() -> None:
    """The documentation of the schema in `results/README.md`."""
    path = ROOT / "results" / "README.md"
    opening, closing = "<!-- columns -->\n", "\n<!-- /columns -->"
    text = path.read_text(encoding="utf-8")
    before, after = text.partition(opening)[0], text.partition(closing)[2]
    path.write_text(f"{before}{opening}{columns_markdown()}{closing}{after}", encoding="utf-8")


if __name__ == "__main__":
    write_columns()
    for path in existing():
        path.write_text(rendered(path.read_text(encoding="utf-8")), encoding="utf-8")
    for name, page in pages().items():
        (ROOT / name).write_text(page, encoding="utf-8")
