"""Large tables, made, read, compared and judged by whatever harness is importable: of runs of 20 strategies.

`python tables_at_scale.py make FOLDER ROWS` makes two, of so many rows each, cells and launches together;
`python tables_at_scale.py judge FOLDER` prints the seconds that reading, comparing and judging took, by the clock and
of CPU, and a digest of what was said.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

STRATEGIES = ("native", *(f"strategy-{number}" for number in range(19)))
SHARE_TIMED = 0.7
LAUNCHES = 3
FIGURES: dict[str, Any] = {
    "launches": LAUNCHES,
    "iterations": 300,
    "mse": 1e-12,
    "max_abs_error": 1e-6,
    "cosine": 1.0,
    "grade": "excellent",
    "convert_s": 1.25,
    "load_s": 0.5,
    "rss_base_mb": 20.0,
    "rss_import_mb": 60.0,
    "rss_load_mb": 80.0,
    "rss_source": "VmHWM",
    "provider": "CPUExecutionProvider",
    "opset": 17,
    "ir_version": 8,
    "duration_s": 3.2,
}


def cells(rows: int) -> list[Any]:
    """Cells of which seven of ten are timed: with their launches they make about `rows` rows."""
    from tests.tables.samples import failed, mismatched, not_applicable, passed

    chance = random.Random(1)
    found: list[Any] = []
    for number in range(round(rows / (1 + SHARE_TIMED * LAUNCHES))):
        model, strategy, kind = f"m{number // 20:05}", STRATEGIES[number % 20], chance.random()
        if kind < SHARE_TIMED:
            latency_ms, peak_mb = round(chance.uniform(0.1, 50), 6), round(chance.uniform(100, 900), 1)
            found.append(passed(model, strategy, latency_ms=latency_ms, rss_peak_mb=peak_mb, **FIGURES))
        elif kind < 0.9:
            found.append(failed(model, strategy, error=f'the graph, "{model}", is not valid', operator="aten::x"))
        elif kind < 0.95:
            found.append(mismatched(model, strategy, relative_error=0.5, tolerance=1e-4))
        else:
            found.append(not_applicable(model, strategy))
    return found


def make(folder: Path, rows: int) -> None:
    """Write two tables, the second with another outcome in one cell of a thousand."""
    from harness.tables.writing import write_table
    from tests.tables.samples import failed, table

    before = cells(rows)
    after = [failed(each.model, each.strategy) if at % 1000 == 999 else each for at, each in enumerate(before)]
    write_table(folder, table(*before, started="2026-01-31T12:00:00Z"))
    write_table(folder, table(*after, started="2026-02-01T12:00:00Z"))


def judge(folder: Path) -> dict[str, object]:
    """Seconds that it took, and a digest of all that was found."""
    from harness.tables.reading import read_table
    from harness.verdict.comparison import compare
    from harness.verdict.gate import judge as judged

    paths = sorted(folder.glob("*/*/*"))
    started, cpu_started_s = time.perf_counter(), time.process_time()
    base, candidate = map(read_table, paths)
    comparison = compare(base, candidate)
    verdict = judged(comparison)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started_s
    told: list[object] = [comparison.notes, verdict.decision.value, verdict.reasons, verdict.notes]
    told += [(each.name, each.category.value, each.reason, each.numbers) for each in comparison.changes]
    told += [comparison.memory, comparison.latency]
    rows = [len(each.records) + len(each.launches) for each in (base, candidate)]
    return {"seconds": seconds, "cpu_s": cpu_s, "rows": rows, "told": hashlib.sha256(repr(told).encode()).hexdigest()}


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        print(json.dumps(judge(Path(sys.argv[2]))))
