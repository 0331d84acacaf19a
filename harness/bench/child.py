"""What the children of the bench have in common: how they begin, and how they end."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness.bench.own_code import make_importable
from harness.bench.progress import Progress, leave
from harness.bench.reads import watch
from harness.bench.requests import REQUEST_FILE, Request, read_request

R = TypeVar("R", bound=Request)


def begin(request: Request) -> None:
    """Import what the request names, already there in a fork, and let torch use as many threads as other runtimes."""
    for name in request.imports:
        importlib.import_module(name)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(request.threads)


def work_on(folder: Path, kind: type[R], job: Callable[[R, Progress], None], *, watched: bool = False) -> None:
    """Do the job that the request in `folder`, of this `kind`, asks for, and end the process.

    Whatever `job` raises is its result, `SystemExit` among it. Nobody's exit handlers run. Where it is `watched`, what
    it reads is written down (`harness.bench.reads`). Never returns.
    """
    # What tools leave in the temporary folder goes with the cell, since nobody runs their exit handlers.
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    progress = Progress(folder)
    try:
        request = read_request(folder / REQUEST_FILE)
        if not isinstance(request, kind):
            msg = f"the request is a {type(request).__name__}, and this child serves a {kind.__name__}"
            raise TypeError(msg)  # noqa: TRY301 - it is a result like any other
        if watched:
            progress.look = watch(folder)
        make_importable([Path(path) for path in request.paths])
        job(request, progress)
    except BaseException as error:  # noqa: BLE001 - whatever a tool raises is this cell's result
        progress.fail(error)
    leave()
