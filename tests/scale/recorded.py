"""What the simulation rests on: durations from committed tables, and what records cost, measured here."""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from harness.attempts.recorded import read_recorded
from harness.bench.record import Record, write_json
from harness.bench.stages import Outcome
from harness.tables.launches import Launch
from harness.tables.layout import CELLS, LAUNCHES, NATIVE
from harness.tables.reading import read_table
from harness.tables.rows import format_rows
from harness.tables.schema import Table
from tests.tables.samples import timing

_COPIES = 100
_FEW = 9

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What committed tables tell. Times in seconds.

    `cells_s` is what each cell took, timed by one launch; nothing of those that could not exist. `start_s` is what a
    run took beside its cells, by their median, `launch_s` what one more launch of a cell takes. `timed` is the share of
    cells that come through to be timed.
    """

    tables: int
    cells_s: tuple[float, ...]
    start_s: float
    launch_s: float
    timed: float


def recorded(results: Path = ROOT / "results") -> Recorded:
    """What the tables in `results` tell that were timed by one launch, and those of three against them."""
    tables = [read_table(path.parent) for path in sorted(results.glob("*/*/*/run.json"))]
    single = [table for table in tables if table.run.policy.get("launches") == 1]
    cells = [record for table in single for record in table.records]
    beside = [_run_s(table) - _cells_s(table) for table in single if not table.run.extensions]
    return Recorded(
        tables=len(single),
        cells_s=tuple(record.duration_s or 0.0 for record in cells),
        start_s=statistics.median(beside),
        launch_s=statistics.median(_launches_s(tables)),
        timed=sum(record.outcome is Outcome.PASSED for record in cells) / len(cells),
    )


def _run_s(table: Table) -> float:
    started, ended = (datetime.fromisoformat(str(each)) for each in (table.run.started, table.run.ended))
    return (ended - started).total_seconds()


def _cells_s(table: Table) -> float:
    return sum(record.duration_s or 0.0 for record in table.records)


def _launches_s(tables: Sequence[Table]) -> Iterator[float]:
    """What one more launch took: a cell's duration with several, less that with one, for each launch more."""
    before: dict[tuple[str, ...], Record] = {}
    for table in tables:
        for record in table.records:
            key = table.run.combination, table.run.tier, *record.cell
            other = before.get(key)
            before[key] = record
            if other and other.launches and record.launches and other.duration_s and record.duration_s:
                more = record.launches - other.launches
                if more > 0:
                    yield (record.duration_s - other.duration_s) / more


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one cell costs on this machine, in bytes and in seconds of one core: waiting for the disk is not in them.

    `record_s` is to write a record down as it arrives, to read and check it, and to make its rows; `light_s` the same
    of one that has as few samples as its quartiles need. `table_s` is to read the rows again. `record_bytes` and
    `light_bytes` are what travels.
    """

    record_s: float
    light_s: float
    table_s: float
    record_bytes: float
    light_bytes: float
    cells_bytes: float
    launches_bytes: float
    natives_bytes: float
    parquet_bytes: float


def costs(results: Path = ROOT / "results", *, times: int = 3) -> Costs:
    """Measured with the cells of the newest table that has launches, the fastest of so many `times`."""
    folder = max((path.parent for path in results.glob(f"*/*/*/{LAUNCHES}")), key=lambda each: each.name)
    table = read_table(folder)
    count = len(table.records)
    sizes = {name: (folder / name).stat().st_size for name in (CELLS, LAUNCHES, NATIVE)}
    record_s, record_bytes = _taken(table, samples=None, times=times)
    light_s, light_bytes = _taken(table, samples=_FEW, times=times)
    return Costs(
        record_s=record_s / count,
        light_s=light_s / count,
        table_s=_fastest(lambda: read_table(folder), times) / count,
        record_bytes=record_bytes / count,
        light_bytes=light_bytes / count,
        cells_bytes=sizes[CELLS] / count,
        launches_bytes=sizes[LAUNCHES] / count,
        natives_bytes=sizes[NATIVE] / count,
        parquet_bytes=_parquet_bytes(table) / (_COPIES * count),
    )


def _taken(table: Table, *, samples: int | None, times: int) -> tuple[float, int]:
    """Seconds and bytes of taking all records of a table, each launch with so many samples, else one a round."""
    values = [_whole(table, record, samples) for record in table.records]
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place) / f"{number}.json" for number, _ in enumerate(values)]

        def take() -> None:
            for path, value in zip(paths, values, strict=True):
                write_json(path, value)
            read = [read_recorded(path) for path in paths]
            format_rows(Record, [each.record for each in read])
            format_rows(Launch, [launch for each in read for launch in each.launches])

        return _fastest(take, times), sum(path.stat().st_size for path in paths)


def _whole(table: Table, record: Record, samples: int | None) -> dict[str, object]:
    """A record as the bench leaves it."""
    launches = [
        timing(
            [launch.latency_ms / 1000 * (1 + n % 97 / 1e4) for n in range(samples or launch.rounds)],
            calls=launch.calls,
        )
        for launch in table.launches
        if launch.cell == record.cell
    ]
    return {"row": record.to_json(), "details": {"launches": launches}}


def _parquet_bytes(table: Table) -> int:
    """The size of many copies of a table's rows by columns, figures varied: a combination of a large night."""
    columns = {
        each.name: [_varied(getattr(r, each.name), n) for n in range(_COPIES) for r in table.records]
        for each in fields(Record)
    }
    plain = {name: [getattr(v, "value", v) for v in values] for name, values in columns.items()}
    buffer = io.BytesIO()
    parquet.write_table(pa.table(plain), buffer, compression="zstd")
    return len(buffer.getvalue())


def _varied(value: object, number: int) -> object:
    # Equal figures would be as good as free in a file by columns.
    return value * (1 + number / 1e4) if isinstance(value, float) else value


def _fastest(call: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return min(taken)
