"""Cells that are converted once and served as often as wanted, by just the launch that times them in a run."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.bench.children import Done
from harness.bench.disk import remove_tree
from harness.bench.errors import BenchBrokenError
from harness.bench.failure import failure_of
from harness.bench.launching import launch_of
from harness.bench.places import PACKAGE
from harness.bench.processes import Keeper, Limits, watch
from harness.bench.progress import read_trail
from harness.bench.record import now
from harness.bench.requests import ServeRequest
from harness.bench.stages import Stage
from harness.cli.running import tasks_of
from harness.duel.contesting import alone
from harness.duel.preparing import ReadyCell, Side, prepare
from harness.matrix.installing import holding
from harness.matrix.selection import Selection
from tests.attempts.conftest import Observer


@contextlib.contextmanager
def made_ready(root: Path, combination: str, selections: Sequence[Selection]) -> Iterator[Side]:
    """The cells of `selections`, converted in the environments of `combination`, until the end of the context."""
    plans = [plan for selection in selections for plan in selection.plans(combination, root)]
    ((*tasks,),) = tasks_of(root, [plans])
    with alone(root, print), contextlib.ExitStack() as holds:
        for name in sorted({task.name for task in tasks}):
            holds.enter_context(holding(root, name, print))
        yield prepare(root, tasks, Observer(), holds, side="a")


class Launcher:
    """Starts launches, one at a time, in folders below `scratch`. A context: in the end nothing of it runs any more."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._numbers = itertools.count()
        self._keeper: Keeper | None = None

    def __enter__(self) -> Launcher:
        remove_tree(self._scratch)  # what a killed one left
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.close()

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder, which is removed in the end."""
        folder = self._scratch / str(next(self._numbers))
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            remove_tree(folder)

    def environ(self, ready: ReadyCell) -> dict[str, str]:
        """The variables of a cell's processes."""
        return ready.environ(marker=str(self._scratch))

    def launch(
        self, ready: ReadyCell, folder: Path, *, measure_s: float, environ: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """What a run keeps of a launch of the cell, timed for `measure_s`, in the empty folder `folder`.

        `environ` are variables beside those of a run. Raises `BenchBrokenError` where the launch failed.
        """
        variables = {**self.environ(ready), "TMPDIR": str(folder), **(environ or {})}
        if self._keeper is None:
            self._keeper = Keeper(None, environ=variables)
        ready.request(folder, measure_s=measure_s, kind=ServeRequest).write()
        command = [str(ready.python), str(PACKAGE / "bench" / "launch.py"), "serve", str(folder)]
        limits = Limits(ready.policy.timeout_s, ready.policy.memory_limit_mb)
        started, began = now(), time.monotonic()
        child = self._keeper.child(folder, cwd=folder, command=command, environ=variables)
        ended = watch(child, limits, quiet=True)
        trail = read_trail(folder)
        failure = failure_of(trail, ended, limits, fallback=Stage.LOAD)
        if failure is not None:
            msg = f"{ready.cell.id} did not serve: {failure.outcome.value} at {failure.stage.value}: {failure.error}"
            raise BenchBrokenError(msg)
        return launch_of(Done(trail, failure, time.monotonic() - began), folder, started=started)
