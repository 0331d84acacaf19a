"""The raw samples of a table's launches, in Parquet: too many for a table, and what any later figure can be made from.

One row a round, in the order of time: extension, model, strategy, device, launch, round, calls (of the round) and
call_s, seconds a call. The first six identify it; launch and round count from 0, as in `launches.csv`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.attempts.recorded import RecordedCell, Timing

SAMPLES = "samples.parquet"

_OF_CELL = ("extension", "model", "strategy", "device")


def write_samples(folder: Path, cells: Iterable[RecordedCell]) -> None:
    """Write the samples of `cells` to `samples.parquet` in `folder`; nothing where none was timed.

    Each cell is read when its turn comes, since all of them together may have millions.
    """
    with contextlib.ExitStack() as stack:
        writer = None
        for cell in cells:
            if cell.timings:
                writer = writer or stack.enter_context(_writer(folder / SAMPLES))
                # A group of rows a cell, so that one is read without the others.
                writer.write_table(_table(cell, writer.schema))


def _writer(path: Path) -> Any:
    # Importing it takes four times as long as all that the command's own start imports.
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts, counts = dict.fromkeys(_OF_CELL, pa.string()), dict.fromkeys(("launch", "round", "calls"), pa.int32())
    kinds = {**texts, **counts, "call_s": pa.float64()}
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])
    return pq.ParquetWriter(path, schema, compression="zstd")


def _table(cell: RecordedCell, schema: Any) -> Any:
    import pyarrow as pa

    rounds = [(launch, timing, index) for launch, timing in enumerate(cell.timings) for index in _indices(timing)]
    columns: dict[str, list[Any]] = {name: [getattr(cell.record, name)] * len(rounds) for name in _OF_CELL}
    columns["launch"] = [launch for launch, _, _ in rounds]
    columns["round"] = [index for _, _, index in rounds]
    columns["calls"] = [timing.calls for _, timing, _ in rounds]
    columns["call_s"] = [timing.samples_s[index] for _, timing, index in rounds]
    return pa.Table.from_pydict(columns, schema=schema)


def _indices(timing: Timing) -> range:
    return range(len(timing.samples_s))
