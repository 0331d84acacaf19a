"""The cells of one plan: first everything but timing, then timing, alone.

A cell is run first: built, converted, served once, and held against the native outputs (`harness.bench.under_way`).
What came through that waits to be timed (`harness.bench.waiting`), which comes after all cells were run, with nothing
else of the harness at work.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from harness.bench.builds import Builds
from harness.bench.children import Children
from harness.bench.disk import remove_tree
from harness.bench.errors import DiskFullError
from harness.bench.failure import Failure
from harness.bench.kept import bound, bound_artifacts, hand_over, size_of
from harness.bench.means import Means
from harness.bench.plan import Cell, Plan
from harness.bench.progress import described
from harness.bench.record import Record
from harness.bench.registry import Registry
from harness.bench.shared_builds import SharedBuilds
from harness.bench.stages import Outcome
from harness.bench.under_way import CellRun
from harness.bench.waiting import read_waiting


class Cells:
    """Runs the cells of one plan, one after the other; each model is built once. `close` ends what is kept warm.

    What waits to be timed lies in `waiting`, and what builds leave in `built` or, without that, in the scratch folder.
    What other benches of the same run have built lies in `shared`.
    What a cell that broke has left is kept in `kept`, and what any cell has left where the plan names a folder for it.
    What cells that passed have converted is left in `artifacts`; a cell that has something in `given` need not convert.
    """

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        scratch: Path,
        *,
        marker: str,
        fresh: bool,
        waiting: Path,
        kept: Path | None = None,
        built: Path | None = None,
        artifacts: Path | None = None,
        given: Path | None = None,
        shared: Path | None = None,
    ) -> None:
        self.plan = plan
        self.registry = registry
        self.scratch = scratch
        self.waiting = waiting
        scratch.mkdir(parents=True, exist_ok=True)
        self.children = Children(scratch, plan.policy, plan.device, marker=marker, fresh=fresh)
        others = SharedBuilds(shared) if shared else None
        self.builds = Builds(plan, registry, self.children, built or scratch / "built", others)
        self._means = Means(plan, registry, self.children, self.builds, given=given)
        self._kept = Path(plan.keep) if plan.keep else kept
        self._artifacts = artifacts

    def close(self) -> None:
        """End what is kept warm and remove the scratch folder."""
        self.children.close()
        remove_tree(self.scratch)

    def run(self, cell: Cell) -> tuple[Record, dict[str, Any]] | None:
        """All but timing: the record of one cell and its details, or None where it came through and waits to be timed.

        What waits for a duel has its record already. Raises `InfrastructureError` where there is no result.
        """
        folder = self.waiting / cell.slug
        remove_tree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        under_way = CellRun(self._means, cell, folder)
        try:
            failure = under_way.run()
            if failure is None and self.plan.duel_side and under_way.wait():
                return under_way.record(None)
            if failure is None and self.plan.policy.launches and under_way.wait():
                return None
            return self._ended(under_way, failure)
        except BaseException:
            remove_tree(folder)
            raise

    def waits(self, cell: Cell) -> bool:
        """Whether a cell came through all but timing, and is to be timed."""
        return not self.plan.duel_side and read_waiting(self.waiting / cell.slug) is not None

    def bytes_waiting(self, cell: Cell) -> int:
        """What a cell that waits takes on disk."""
        return size_of(self.waiting / cell.slug)

    def require_room(self, share: float) -> None:
        """Raise `DiskFullError` where all that waits takes more than `share` of what would be free without it."""
        size = size_of(self.waiting)
        free = shutil.disk_usage(self.waiting).free
        if size > share * (free + size):
            msg = f"what waits takes {size / 2**20:.0f} MiB of the disk, of which {free / 2**20:.0f} MiB are free."
            raise DiskFullError(msg)

    def time(self, cell: Cell) -> tuple[Record, dict[str, Any]]:
        """Time a cell that waits, with nothing else running meanwhile. Raises as `run` does, and lets it wait on."""
        folder = self.waiting / cell.slug
        waiting = read_waiting(folder)
        assert waiting is not None, f"{cell.id} does not wait to be timed"
        under_way = CellRun(self._means, cell, folder)
        failure = under_way.time(waiting)
        return self._ended(under_way, failure)

    def _ended(self, under_way: CellRun, failure: Failure | None) -> tuple[Record, dict[str, Any]]:
        """The record, once what the cell left is kept or removed."""
        record, details = under_way.record(failure)
        if self._kept is not None and (self.plan.keep or record.outcome.broken):
            details["kept"] = self._keep(under_way, self._kept)
        elif self._artifacts is not None and record.outcome is Outcome.PASSED:
            self._leave(under_way, self._artifacts)
        remove_tree(under_way.folder)
        return record, details

    def _leave(self, cell: CellRun, artifacts: Path) -> None:
        """Leave what a cell has converted, within the plan's limit and a share of the disk for all of it together."""
        with contextlib.suppress(Exception):  # a full disk, or what a child may leave: the record is there
            artifact = cell.described()
            if artifact is not None and cell.given is None:
                hand_over(cell.folder, artifacts / cell.cell.slug, artifact)
                bound_artifacts(artifacts, self.plan.keeping.artifacts_mb)

    def _keep(self, cell: CellRun, kept: Path) -> dict[str, Any] | None:
        """Keep what a cell has left, and say what."""
        limits = self.plan.keeping
        try:
            if self.plan.keep:  # somebody asked for it, whatever its size
                return cell.keep(kept / cell.cell.slug, limit_mb=None)
            told = cell.keep(kept / cell.cell.slug, limit_mb=limits.cell_mb)
            bound(kept, limits.all_mb)
        except Exception as error:  # noqa: BLE001 - a full disk, or what a child may leave: the record is there
            return {"left_out": f"it could not be kept: {described(error)['error']}"}
        return told
