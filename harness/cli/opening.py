"""`harness open`: the artifact of a cell, shown by Netron."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from harness.attempts import details
from harness.bench.disk import remove_tree
from harness.bench.errors import NoEvidenceError, UsageError
from harness.bench.failure import describe_failure
from harness.bench.kept import ARTIFACT_FILE, ArtifactChangedError, read_artifact
from harness.bench.plan import Plan
from harness.cli.cells import FoundCell, cell_options, find_cell
from harness.cli.context import root_of, say, shown
from harness.cli.rerunning import partial_beside, run_again, running_options
from harness.matrix import matrixfile
from harness.report.next_steps import mend_pins
from harness.verdict.comparison import NOT_INSTALLED

_SHOWN = ("saved_model.pb", "*.onnx", "*.tflite", "*.pt", "*.pth", "*.mlmodel", "*.h5", "*.keras")
"""The files of an artifact that Netron reads, the telling ones first."""

NETRON = "netron"
_HIGHEST_PORT = 65535
_NEEDS_NETRON = (
    "Netron, which shows artifacts, is not installed beside the harness. Install it there (`pip install netron`, or "
    "the harness with its extra `netron`), or open the file in a Netron of yours: {path}"
)


@click.command("open", short_help="Show the artifact of a cell in Netron.")
@click.argument("cell")
@click.option("--browser/--no-browser", default=True, help="Open a browser, or only print the address.")
@click.option(
    "--port", type=click.IntRange(0, _HIGHEST_PORT), default=0, help="Where Netron listens, on this machine alone."
)
@running_options
@cell_options
@click.pass_context
def open_command(
    context: click.Context,
    /,
    cell: str,
    browser: bool,
    port: int,
    interpreter: Path | None,
    plugins: Sequence[Path],
    **given: Any,
) -> int:
    """Show the artifact of CELL in Netron until Ctrl-C: the one that was kept, else one that is converted anew.

    CELL is COMBINATION/MODEL/STRATEGY as `harness plan` prints it, or the same after the folder of a table. What is
    converted anew needs the environment, and waits while a run has it.
    """
    found = find_cell(context, cell, **given)
    path = viewable(artifact_folder(context, found, interpreter=interpreter, plugins=plugins))
    if path is None:
        msg = f"nothing in what {found.record.cell_id} left is a file that Netron reads."
        raise NoEvidenceError(msg)
    if importlib.util.find_spec(NETRON) is None:
        raise UsageError(_NEEDS_NETRON.format(path=shown(path)))
    netron = importlib.import_module(NETRON)
    say(f"Artifact: {shown(path)}")
    host, used = netron.start(str(path), address=("localhost", port), browse=browser)
    say(f"Netron: http://{host}:{used} (Ctrl-C ends it)")
    netron.wait()
    return 0


def artifact_folder(context: click.Context, found: FoundCell, **running: Any) -> Path:
    """The folder that holds what a cell left: kept when its table was made, or of a run that is made now.

    What is made now, as `run_again` is given `running`, stays among the details of the table, within their limit.
    Raises `NoEvidenceError` where the cell comes to no artifact now.
    """
    root = root_of(context)
    folder = details.kept_folder(root, found.table.run, found.record.model, found.record.strategy, record=found.record)
    if viewable(folder) is not None:
        return folder
    limit_mb = _limit_mb(root, found)
    with partial_beside(folder) as partial:
        ran = run_again(context, found, partial, **running)
        if viewable(partial) is None:
            msg = f"{found.record.cell_id} comes to no artifact: {describe_failure(ran.record)}"
            if ran.record.stage in NOT_INSTALLED:
                msg = f"{msg.rstrip('.')}.\nNext: {mend_pins(found.table, found.record.extension)}"
            raise NoEvidenceError(msg)
        remove_tree(folder)
        partial.rename(folder)
    for line in details.bound(root, limit_mb, spared=folder):
        say(line, err=True)
    return folder


def _limit_mb(root: Path, found: FoundCell) -> int:
    """How much of details is kept: by the plan of the cell's table or the matrix file, whichever leaves more.

    The matrix file that the table was run by need not be the one that is read without a name.
    """
    limit = matrixfile.keeping_of(root).all_mb
    plan = details.plan_file(root, found.table.run, found.record.extension)
    if not plan.is_file():
        return limit
    return max(limit, Plan.from_json(json.loads(plan.read_text(encoding="utf-8"))).keeping.all_mb)


def viewable(folder: Path) -> Path | None:
    """The file that Netron is given of what a cell left: of its artifact, else of the last step that left one."""
    if (folder / ARTIFACT_FILE).is_file():
        try:
            unit = folder / read_artifact(folder).path
        except ArtifactChangedError:
            return None
        return unit if unit.is_file() else next(_files(unit), None)
    steps = sorted(folder.glob("convert/artifact-*"), key=lambda each: int(each.name.rpartition("-")[2]), reverse=True)
    return next((path for each in steps for path in _files(each)), None)


def _files(folder: Path) -> Iterator[Path]:
    for pattern in _SHOWN:
        yield from sorted(path for path in folder.rglob(pattern) if path.is_file() and not path.is_symlink())
