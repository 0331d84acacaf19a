"""What a thousand nodes and ten million cells would need: ``python -m tests.scale``, in less than one minute.

Prints the tables of docs/scale.md. The same seed gives the same night; what records cost is measured anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.scale.cluster import Cluster, Load, Outcome, simulate
from tests.scale.recorded import Costs, Recorded, costs, recorded

# 500 combinations of 500 models, 20 strategies and two devices.
NIGHT = Load(environments=500, cells=20_000, unit_cells=200)
SLOTS = 16
DRIVERS = 50

# An environment has 6.4 GB, which take 19 s to lay down from a cache on another disk (measured), after 51 s by a link
# of 1 Gbit/s. What combinations share is fetched for each of them here, though a cache on the node would have it.
INSTALL_S = 70.0
ROOM = 20
INDEX_GBIT = 10
MIRRORS_GBIT = 100

CHANGED = 0.06
"""The twentieth that is run again every night, and one in a hundred that changed."""

LAUNCHES = 3


def main() -> None:
    """Measure, simulate, print."""
    seen, cost = recorded(), costs()
    print(_table(("what", "figure"), _inputs(seen, cost)), end="\n\n")
    print(_table(("a night of ten million cells", *_HEADER), _steps(seen, cost)), end="\n\n")
    print(_table(("nodes", *_HEADER), _nodes(seen, cost)), end="\n\n")
    print(_table(("cells of a unit", *_HEADER), _units(seen, cost)), end="\n\n")
    print(_table(("timing, one cell on a node at a time", *_HEADER), _timing(seen, cost)), end="\n\n")
    print(_table(("what ten million cells leave", "bytes a cell", "in all"), _bytes(cost)))


def now(seen: Recorded, cost: Costs) -> Cluster:
    """A thousand nodes, and everything else as it is today."""
    return Cluster(
        nodes=1000,
        slots=SLOTS,
        room=ROOM,
        install_s=INSTALL_S,
        served=INDEX_GBIT,
        start_s=seen.start_s,
        record_s=cost.record_s,
        by_environment=False,
    )


def mended(seen: Recorded, cost: Costs) -> Cluster:
    """The same with what this plan would change."""
    return replace(now(seen, cost), by_environment=True, served=MIRRORS_GBIT, record_s=cost.light_s / DRIVERS)


def _inputs(seen: Recorded, cost: Costs) -> Iterator[tuple[str, str]]:
    mean = sum(seen.cells_s) / len(seen.cells_s)
    yield f"a cell, of {len(seen.cells_s)} in {seen.tables} committed tables", f"{mean:.2f} s on average"
    yield "the longest of them", f"{max(seen.cells_s):.0f} s"
    yield "what a run takes beside its cells, the median", f"{seen.start_s:.0f} s"
    yield "one more launch of a cell, the median", f"{seen.launch_s:.2f} s"
    yield "cells that come through to be timed", f"{seen.timed:.0%}"
    yield (
        "a record: written, read, checked, made rows, by one core",
        f"{cost.record_s * 1000:.1f} ms, {cost.record_bytes / 1000:.0f} kB",
    )
    yield "the same with nine samples a launch", f"{cost.light_s * 1000:.1f} ms, {cost.light_bytes / 1000:.1f} kB"
    yield "a row read again, with its launches", f"{cost.table_s * 1000:.2f} ms"


_HEADER = ("hours", "efficiency", "installations", "driver's hours", "records that wait")


def _shown(name: object, outcome: Outcome) -> tuple[str, ...]:
    return (
        f"{name:,}" if isinstance(name, int) else str(name),
        f"{outcome.makespan_s / 3600:.2f}",
        f"{outcome.efficiency:.2f}",
        f"{outcome.installs:,}",
        f"{outcome.driver_s / 3600:.1f}",
        f"{outcome.behind:,}",
    )


def _steps(seen: Recorded, cost: Costs) -> Iterator[tuple[str, ...]]:
    """One change after the other, in the order in which what stands in the way shows."""
    first = now(seen, cost)
    changes: Sequence[tuple[str, Mapping[str, Any]]] = (
        ("as everything is today", {}),
        ("units of what a node has installed come first", {"by_environment": True}),
        ("nine samples a launch travel, the rest stays on the node", {"record_s": cost.light_s}),
        (f"{DRIVERS} drivers, each of some combinations", {"record_s": cost.light_s / DRIVERS}),
        (f"mirrors that serve {MIRRORS_GBIT} Gbit/s instead of {INDEX_GBIT}", {"served": MIRRORS_GBIT}),
        ("a node fails every 1,000 hours", {"fails_after_s": 1000 * 3600.0}),
        ("a node fails every 10 hours", {"fails_after_s": 10 * 3600.0}),
    )
    cluster = first
    for name, values in changes:
        cluster = replace(cluster, **values)
        yield _shown(name, simulate(NIGHT, cluster, seen.cells_s))
    tenth = replace(NIGHT, cells=round(NIGHT.cells * CHANGED), unit_cells=100)
    yield _shown(f"only {CHANGED:.0%} of the cells are run", simulate(tenth, mended(seen, cost), seen.cells_s))


def _nodes(seen: Recorded, cost: Costs) -> Iterator[tuple[str, ...]]:
    for nodes in (125, 250, 500, 1000, 2000):
        yield _shown(nodes, simulate(NIGHT, replace(mended(seen, cost), nodes=nodes), seen.cells_s))


def _units(seen: Recorded, cost: Costs) -> Iterator[tuple[str, ...]]:
    for cells in (25, 100, 200, 400, 1600):
        yield _shown(cells, simulate(replace(NIGHT, unit_cells=cells), mended(seen, cost), seen.cells_s))


def _timing(seen: Recorded, cost: Costs) -> Iterator[tuple[str, ...]]:
    alone = replace(mended(seen, cost), slots=1)
    for name, share, launches in (
        ("all cells, three launches", 1.0, LAUNCHES),
        ("all cells, one launch", 1.0, 1),
        (f"{CHANGED:.0%} of the cells, three launches", CHANGED, LAUNCHES),
    ):
        load = replace(NIGHT, cells=round(NIGHT.cells * share * seen.timed), unit_cells=50)
        yield _shown(name, simulate(load, alone, [launches * seen.launch_s]))


def _bytes(cost: Costs) -> Iterator[tuple[str, str, str]]:
    cells = NIGHT.environments * NIGHT.cells
    for name, each in (
        ("records as the bench leaves them", cost.record_bytes),
        ("the same with nine samples a launch", cost.light_bytes),
        ("`cells.csv`", cost.cells_bytes),
        ("`launches.csv`", cost.launches_bytes),
        ("`native.json`", cost.natives_bytes),
        ("cells by columns (Parquet, zstd)", cost.parquet_bytes),
    ):
        yield name, f"{each:,.0f}", f"{each * cells / 1e9:,.1f} GB"


def _table(header: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
