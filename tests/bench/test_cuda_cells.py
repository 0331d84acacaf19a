"""Cells on CUDA from end to end without a GPU: processes that really serve, and a stand-in for NVML that lists them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench import gpu_use
from harness.bench.cell import Cells
from harness.bench.record import Record
from tests.attempts.conftest import STAND_IN
from tests.bench.nvml import Device, Nvml, WithNvml, running, serving_below
from tests.duel.sides import task_of

MIB = 2**20
THEIRS = 4_000_009
FACTS = "{'host_copies': 0, 'tf32': 'off', 'gpu_torch_peak_mb': 3.5}"


@pytest.fixture(scope="module", autouse=True)
def _stand_ins() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STAND_IN))
        patch.setattr(gpu_use, "in_first_namespace", lambda: True)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture
def cells(files: Path, tmp_path: Path) -> Iterator[Cells]:
    """One cell on CUDA, which is timed in two launches."""
    plan = task_of(files, Path(sys.executable), "none", {"numpy": "pass"}).plan
    runtime = Path(plan.plugins[0]) / "runtimes" / "numpy.py"
    text = runtime.read_text(encoding="utf-8")
    runtime.write_text(
        text.replace("    def outputs", f"    def facts(self):\n        return {FACTS}\n\n    def outputs"),
        encoding="utf-8",
    )
    on_cuda = tuple(replace(cell, device="cuda") for cell in plan.cells)
    plan = replace(plan, device="cuda", cells=on_cuda, policy=replace(plan.policy, launches=2, measure_s=0.3))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    made = Cells(plan, plan.registry(), scratch, marker=str(scratch), fresh=False, waiting=tmp_path / "waiting")
    yield made
    made.close()


def ran(cells: Cells) -> tuple[Record, list[dict[str, Any]]]:
    (cell,) = cells.plan.cells
    assert cells.run(cell) is None, "it waits to be timed"
    record, details = cells.time(cell)
    assert record.outcome.value == "passed", details
    return record, details["launches"]


def test_a_gpu_of_ours_alone_is_told_exclusive_and_memory_is_the_serving_process(
    cells: Cells, tmp_path: Path, with_nvml: WithNvml
) -> None:
    # One alone: where a process has just been started, the one that starts it may be seen as it.
    with_nvml(Nvml(Device("GPU-aa", processes=lambda: serving_below(tmp_path, used=64 * MIB)[:1])))
    record, launches = ran(cells)
    assert (record.gpu_peak_mb, record.gpu_source) == (64.0, "nvml-process")
    assert (record.tf32, record.host_copies, record.gpu_torch_peak_mb) == ("off", 0, 3.5)
    assert record.gpu_tensorflow_peak_mb is None
    assert [launch["gpu_use"] for launch in launches] == ["exclusive", "exclusive"]
    assert "shared" not in (record.latency_quality or "")


def test_who_is_beside_ours_is_told_of_latency_and_memory(cells: Cells, tmp_path: Path, with_nvml: WithNvml) -> None:
    device = Device("GPU-aa")

    def beside() -> list[Any]:
        ours = serving_below(tmp_path, used=None)
        device.used = 2**30 + len(ours) * 300 * MIB
        return [*ours, running(THEIRS, MIB)] if ours else []

    device.processes = beside
    with_nvml(Nvml(device))
    record, launches = ran(cells)
    assert record.gpu_peak_mb is None
    assert record.gpu_source is not None
    assert record.gpu_source.endswith("others may have a part in it: shared: 1 process of others")
    assert [launch["gpu_use"] for launch in launches] == ["shared: 1 process of others"] * 2
    assert "shared" in (record.latency_quality or "").split(", ")
