"""How long cells took when they were last run, so that the longest can begin first."""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness.bench.errors import HarnessError
from harness.bench.plan import Plan
from harness.tables.layout import RUN, series_folder
from harness.tables.reading import read_table


def durations(results_root: Path, plan: Plan) -> dict[tuple[str, str], float]:
    """Seconds that cells of `plan` took, by model and strategy, as the newest table of their series says.

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
        known = {(record.model, record.strategy): record.duration_s for record in records}
        return {cell: seconds for cell, seconds in known.items() if seconds and cell in wanted}
    return {}


def _name(folder: Path) -> str:
    return folder.name
