"""How long cells took when they were last run, so that the longest can begin first."""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness.bench.errors import HarnessError
from harness.bench.plan import Plan
from harness.bench.record import Record
from harness.tables.layout import RUN, series_folder
from harness.tables.reading import read_table


def durations(results_root: Path, plan: Plan) -> dict[tuple[str, str], float]:
    """Seconds that cells of `plan` took before they were timed, by model and strategy, by their series' newest table.

    That of their combination comes first, then that of any other. What nobody knows is left out.
    """
    series = series_folder(
        results_root, combination=plan.combination, device=plan.device, tier=plan.tier, models=plan.series
    )
    own = list(series.glob(f"*/{RUN}"))
    folders = sorted((path.parent for path in own or results_root.glob(f"*/{series.name}/*/{RUN}")), key=_name)
    wanted = {(cell.model, cell.strategy) for cell in plan.cells}
    with contextlib.suppress(HarnessError):  # it is about speed alone
        records = read_table(folders[-1]).records if folders else ()
        known = {(record.model, record.strategy): _untimed_s(record) for record in records}
        return {cell: seconds for cell, seconds in known.items() if seconds and cell in wanted}
    return {}


def _untimed_s(record: Record) -> float:
    """What a cell took but for being timed: each launch takes about what serving it once does."""
    converting = record.convert_s or 0.0
    return converting + max(0.0, (record.duration_s or 0.0) - converting) / (1 + (record.launches or 0))


def _name(folder: Path) -> str:
    return folder.name
