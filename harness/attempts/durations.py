"""How long cells took when they were last run, so that the longest can begin first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

from harness.bench.errors import HarnessError
from harness.bench.plan import Plan
from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.tables.layout import RUN, series_folder
from harness.tables.reading import read_table


def durations(roots: Iterable[Path], plan: Plan) -> dict[tuple[str, str], float]:
    """Seconds that cells of `plan` take before they are timed, by model and strategy, by the newest tables in `roots`.

    What the table of a root's likest series tells of a cell comes first, and what any in the first root tells before
    that of the others. A model that no table has is told by the median of its strategy. What nobody knows is left out.
    """
    wanted = {(cell.model, cell.strategy) for cell in plan.cells}
    known: dict[tuple[str, str], float] = {}
    of_strategy: dict[str, list[float]] = {}
    for folder in dict.fromkeys(folder for root in roots for folder in _newest(root, plan)):
        if wanted <= known.keys():
            break
        with contextlib.suppress(HarnessError):  # it is about speed alone
            for record in read_table(folder).records:
                seconds = _untimed_s(record)
                if seconds:
                    of_strategy.setdefault(record.strategy, []).append(seconds)
                if seconds is not None:
                    known.setdefault((record.model, record.strategy), seconds)
    for model, strategy in wanted - known.keys():
        if strategy in of_strategy:
            known[model, strategy] = median(of_strategy[strategy])
    return {cell: seconds for cell, seconds in known.items() if cell in wanted}


def _newest(root: Path, plan: Plan) -> Iterator[Path]:
    """The newest table of the plan's series, of its combination, of its series of any combination, and of any."""
    series = series_folder(root, combination=plan.combination, device=plan.device, tier=plan.tier, models=plan.series)
    for pattern in (
        f"{plan.combination}/{series.name}/*/{RUN}",
        f"{plan.combination}/{plan.device}-*/*/{RUN}",
        f"*/{series.name}/*/{RUN}",
        f"*/{plan.device}-*/*/{RUN}",
    ):
        folders = [path.parent for path in root.glob(pattern)]
        if folders:
            yield max(folders, key=_name)


def _untimed_s(record: Record) -> float | None:
    """What a cell took but for being timed: each launch takes about what serving it once does. None where not known."""
    if record.duration_s is None:
        return 0.0 if record.outcome is Outcome.NOT_APPLICABLE else None
    converting = record.convert_s or 0.0
    return converting + max(0.0, record.duration_s - converting) / (1 + (record.launches or 0))


def _name(folder: Path) -> str:
    return folder.name
