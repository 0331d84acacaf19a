"""How much of four nodes' time cells take: cells that sleep for as long as a committed table says that they took."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench.attempt import Attempt
from harness.bench.plan import Cell, Plan, Policy
from harness.bench.registry import discover
from harness.executors.cluster import RayCluster
from harness.executors.units import divide, imports_by_strategy
from harness.tables.reading import read_table
from tests.attempts.conftest import ROOT
from tests.executors.clusters import nodes
from tests.executors.orders import begun, make_python, work_in

NODES = 4
LEAST = 0.9
_SETTLE_S, _AT_REST = 90.0, 0.15
TABLE = ROOT / "results" / "torch2.9" / "cpu-quick+extensions" / "20261121T091800Z"

SLEEPING = """
import json, sys, time
from pathlib import Path
from harness.bench.attempt import Attempt
from harness.bench.plan import Plan
from harness.bench.record import write_json
(folder,) = (word.partition("=")[2] for word in sys.argv if word.startswith("--attempt="))
attempt = Attempt(Path(folder))
seconds = json.loads(Path("SECONDS").read_text())
for cell in Plan.from_json(json.loads(attempt.plan.read_text())).cells:
    attempt.started(cell)
    time.sleep(seconds[cell.slug])
    write_json(attempt.record_of(cell), {"row": {"outcome": "passed"}, "details": {}})
    attempt._event("ended", cell, outcome="passed", stage="probe")
"""
"""Stands in for pytest: a bench whose cells take what they are said to take, and nothing of the processor."""


def _sleeping_python(folder: Path, seconds: dict[str, float]) -> Path:
    """An interpreter that runs the sleeping bench where it is asked for pytest."""
    real = make_python(folder / "venv")
    (folder / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
    bench = folder / "sleeping.py"
    bench.write_text(SLEEPING.replace("SECONDS", str(folder / "seconds.json")), encoding="utf-8")
    # The harness that travelled is in the current folder.
    asked = f'[ "$1 $2" = "-m pytest" ] && {{ export PYTHONPATH=.; exec {real} {bench} "$@"; }}'
    python = folder / "python"
    python.write_text(f'#!/bin/sh\n{asked}\nexec {real} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return python


def _settle() -> None:
    """Wait until the cluster's own processes have come up: four nodes share the cores that one has to itself."""
    deadline = time.monotonic() + _SETTLE_S
    while _busy_share() > _AT_REST:
        assert time.monotonic() < deadline, "other programs use this machine; measure on one that is at rest"


def _busy_share() -> float:
    """Which share of this machine's cores is at work, over two seconds."""
    before = _idle_ticks()
    time.sleep(2.0)
    return 1 - (_idle_ticks() - before) / os.sysconf("SC_CLK_TCK") / 2.0 / (os.cpu_count() or 1)


def _idle_ticks() -> int:
    _, *ticks = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()
    return int(ticks[3]) + int(ticks[4])


@pytest.mark.long
@pytest.mark.real
def test_four_nodes_are_at_work_nine_tenths_of_the_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [record for record in read_table(TABLE).records if record.duration_s]
    cells = {Cell("c", each.model, each.strategy, "cpu"): float(each.duration_s or 0.0) for each in records}
    python = _sleeping_python(tmp_path, {cell.slug: seconds for cell, seconds in cells.items()})
    plan = Plan("c", "cpu", "quick", cells=tuple(cells), policy=Policy(memory_limit_mb=1000), times=False)
    told: list[str] = []
    with nodes(NODES, tmp_path / "node-cache") as cluster:
        executor = RayCluster(cluster.address, plan.policy, device="cpu", tell=told.append)
        imports = imports_by_strategy(plan, discover(with_zoo=True))
        parts = divide(plan.cells, imports, jobs=executor.jobs, seconds=cells.__getitem__)
        units = [begun(tmp_path, python, replace(plan, cells=part), f"{i:04}") for i, part in enumerate(parts)]
        _settle()
        began = time.monotonic()
        executor.run(units, work_in(tmp_path, python), lambda: True)
        took = time.monotonic() - began
    assert told == []
    assert sum(len(Attempt(unit.folder).recorded(unit.plan)) for unit in units) == len(cells)
    efficiency = sum(cells.values()) / (NODES * took)
    with capsys.disabled():
        print(
            f"\n{len(cells)} cells, {sum(cells.values()):.0f} s, in {len(units)} units on {NODES} nodes: {took:.0f} s, "
            f"efficiency {efficiency:.3f}",
            file=sys.stderr,
        )
    assert efficiency >= LEAST
