"""Who is seen on the GPU, and how much of its memory is whose. A stand-in for NVML: there is none here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.bench import gpu_use
from harness.bench.gpu_use import ExclusiveGpu, GpuWatch
from tests.bench.nvml import Device, Nvml, WithNvml, running

MIB = 2**20
OURS, THEIRS = 4_000_007, 4_000_009
"""No process has such an id: Linux gives none above 2**22."""


class Clock:
    """Time that passes when somebody sleeps; what is to happen after so many seconds happens then."""

    def __init__(self) -> None:
        self.now = 100.0
        self.later: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        due = [do for at, do in self.later if at <= self.now]
        self.later = [(at, do) for at, do in self.later if at > self.now]
        for do in due:
            do()

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self.later.append((self.now + seconds, do))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(gpu_use, "time", made)
    return made


@pytest.fixture(autouse=True)
def _namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run in containers, too."""
    monkeypatch.setattr(gpu_use, "in_first_namespace", lambda: True)


def watch(*, timed: bool = True) -> GpuWatch:
    return ExclusiveGpu().watch(timed=timed)


def served(device: Device, found: GpuWatch, *beside: int, used: int | None = 300 * MIB) -> GpuWatch:
    """A process of ours runs and ends on a device, with others beside it that come and go meanwhile."""
    before = device.used
    device.processes = [running(OURS, used), *(running(pid, 2**33) for pid in beside)]
    device.used += 300 * MIB
    device.percent = 90
    found([OURS])
    device.processes, device.used, device.percent = [], before, 0
    found.end()
    return found


def test_a_gpu_where_only_ours_was_listed_is_exclusive(with_nvml: WithNvml, clock: Clock) -> None:
    one, two = Device("GPU-aa", processes=[running(THEIRS, MIB)]), Device("GPU-bb")
    with_nvml(Nvml(one, two), {"CUDA_VISIBLE_DEVICES": "GPU-bb"})
    assert served(two, watch()).use() == "exclusive"
    assert clock.now == 100.0, "nobody has to wait for nothing"


def test_who_is_there_before_is_waited_for_and_is_no_fault_once_gone(with_nvml: WithNvml, clock: Clock) -> None:
    device = Device("GPU-aa", processes=[running(THEIRS, MIB)])
    with_nvml(Nvml(device))
    clock.after(7.0, lambda: setattr(device, "processes", []))
    found = watch()
    assert 107.0 <= clock.now < 108.0
    assert served(device, found).use() == "exclusive"


def test_who_stays_is_told_and_waited_for_once_alone(with_nvml: WithNvml, clock: Clock) -> None:
    device = Device("GPU-aa", processes=[running(THEIRS, MIB)])
    with_nvml(Nvml(device))
    gpu = ExclusiveGpu(patience_s=10.0)
    first = gpu.watch(timed=True)
    assert clock.now == pytest.approx(110.0, abs=0.3)
    assert first.use() == "shared: 1 process of others"
    device.processes = [running(OURS, MIB)]
    first([OURS])
    first.end()
    assert first.use() == "shared: 1 process of others"
    device.processes = [running(THEIRS, MIB)]
    for _ in range(4):
        gpu.watch(timed=True)
    assert clock.now < 100.0 + 10.0 + 5 * 2.2 + 0.5


def test_for_what_is_not_timed_nobody_waits_long(with_nvml: WithNvml, clock: Clock) -> None:
    with_nvml(Nvml(Device("GPU-aa", processes=[running(THEIRS, MIB)])))
    watch(timed=False)
    assert clock.now < 102.5


@pytest.mark.parametrize("others", [1, 2])
def test_who_comes_while_ours_runs_is_told(with_nvml: WithNvml, clock: Clock, others: int) -> None:
    device = Device("GPU-aa")
    with_nvml(Nvml(device))
    beside = range(THEIRS, THEIRS + others)
    count = "1 process" if others == 1 else "2 processes"
    assert served(device, watch(), *beside).use() == f"shared: {count} of others"


def test_what_ours_has_started_is_ours_before_anybody_has_searched_for_it(with_nvml: WithNvml, clock: Clock) -> None:
    device = Device("GPU-aa")
    with_nvml(Nvml(device))
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    ours = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert ours.stdout is not None
    ours.stdout.readline()
    child = int(Path("/proc", str(ours.pid), "task", str(ours.pid), "children").read_text(encoding="ascii"))
    found = watch(timed=False)
    device.processes = [running(child, 40 * MIB)]
    found([ours.pid])
    device.processes = []
    ours.communicate(b"\n", timeout=30)
    found.end()
    assert found.use() == "exclusive"
    assert found.peak() == (40.0, "nvml-process")


def test_a_gpu_that_is_busy_when_nothing_of_ours_runs_is_shared(with_nvml: WithNvml, clock: Clock) -> None:
    device = Device("GPU-aa", percent=41)
    with_nvml(Nvml(device))
    assert watch().use() == "shared: others kept it 41 % busy"
    device.percent = 3
    assert served(device, watch()).use() == "exclusive"


def test_what_ours_itself_kept_busy_is_over_within_two_seconds(with_nvml: WithNvml, clock: Clock) -> None:
    device = Device("GPU-aa")
    with_nvml(Nvml(device))
    found = watch()
    device.processes, device.percent, device.used = [running(OURS, MIB)], 97, 2**33
    found([OURS])
    clock.after(1.2, lambda: vars(device).update(percent=0, used=2**30, processes=[]))
    found.end()
    assert found.use() == "exclusive"


def test_in_a_container_that_lists_ours_alone_more_is_not_claimed_than_is_known(
    with_nvml: WithNvml, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_use, "in_first_namespace", lambda: False)
    device = Device("GPU-aa")
    with_nvml(Nvml(device))
    assert served(device, watch()).use() == "exclusive before and after"
    found = watch()
    found([OURS])
    device.used += 400 * MIB  # somebody came who is not listed here, and stays
    found.end()
    assert found.use() == "shared: 400 MiB more were in use afterwards than before"
    with_nvml(Nvml(device, refused=["utilisation"]))
    assert served(device, watch()).use() == "unknown: NVML tells neither all processes nor how busy it is"


def test_where_nothing_is_listed_it_is_known_before_and_after(with_nvml: WithNvml, clock: Clock) -> None:
    device = Device("GPU-aa")
    with_nvml(Nvml(device, refused=["processes"]))
    assert served(device, watch()).use() == "exclusive before and after"
    device.percent = 30
    assert watch().use() == "shared: others kept it 30 % busy"


def test_by_the_ids_of_the_host_as_many_may_be_ours_as_we_are(with_nvml: WithNvml, clock: Clock) -> None:
    device = Device("GPU-aa")
    with_nvml(Nvml(device))

    def seen(*pids: int) -> str:
        found = watch()
        device.processes = [running(pid, MIB) for pid in pids]
        found([OURS, OURS + 1])
        device.processes = []
        found.end()
        return found.use()

    assert seen(3_500_001) == seen(3_500_001, 3_500_002) == "exclusive"
    assert seen(3_500_001, 3_500_002, 3_500_003) == "shared: 1 process of others"


def test_which_gpu_it_is_has_to_be_known_to_call_it_shared(with_nvml: WithNvml, clock: Clock) -> None:
    one, two = Device("GPU-aa"), Device("GPU-bb")
    with_nvml(Nvml(one, two))
    assert served(two, watch()).use() == "exclusive"
    one.processes = [running(THEIRS, MIB)]
    told = watch().use()
    assert told.startswith("unknown: one of 2 GPUs: without CUDA_DEVICE_ORDER=PCI_BUS_ID")
    assert told.endswith("on one of them 1 process of others")


@pytest.mark.parametrize(
    ("nvml", "reason"),
    [
        (None, "nvidia-ml-py is not installed"),
        (Nvml(refused=["init"]), "NVML: init: Not Supported"),
        (Nvml(), "NVML sees no GPU"),
    ],
)
def test_without_a_gpu_nothing_raises_and_the_reason_is_told(
    with_nvml: WithNvml, clock: Clock, nvml: Nvml | None, reason: str
) -> None:
    with_nvml(nvml)
    found = watch(timed=False)
    found([OURS])
    found.end()
    assert found.peak() == (None, reason)
    assert found.use() == f"unknown: {reason}"
    assert clock.now == 100.0


# --- memory ---


def test_memory_is_that_of_the_group_where_nvml_tells_it(with_nvml: WithNvml, clock: Clock) -> None:
    one, two = Device("GPU-aa"), Device("GPU-bb")
    with_nvml(Nvml(one, two), {"CUDA_VISIBLE_DEVICES": "GPU-bb"})
    found = watch(timed=False)
    two.processes = [running(7, 100 * MIB), running(8, 20 * MIB), running(OURS, 2**33), running(8, None)]
    one.processes = [running(7, 2**33)]
    found([7, 8])
    two.processes = []
    found([7, 8])
    found.end()
    assert found.use() == "shared: 1 process of others"
    assert found.peak() == (120.0, "nvml-process"), "what is counted by process is ours whoever else is there"


@pytest.mark.parametrize("refused", [(), ("processes",)])
def test_else_it_is_what_an_exclusive_device_has_in_use_more(
    with_nvml: WithNvml, clock: Clock, refused: Sequence[str]
) -> None:
    one, two = Device("GPU-aa"), Device("GPU-bb")
    with_nvml(Nvml(one, two, refused=refused), {"CUDA_VISIBLE_DEVICES": "GPU-bb"})
    found = watch(timed=False)
    one.used += 2**33
    assert served(two, found, used=None).peak() == (300.0, "nvml-device")


def test_what_a_device_has_in_use_is_no_figure_of_ours_where_others_were(with_nvml: WithNvml, clock: Clock) -> None:
    device = Device("GPU-aa")
    with_nvml(Nvml(device))
    peak, source = served(device, watch(timed=False), THEIRS, used=None).peak()
    assert peak is None
    assert source.endswith("others may have a part in it: shared: 1 process of others")


def test_a_device_that_is_not_known_is_told_beside_the_figure(with_nvml: WithNvml, clock: Clock) -> None:
    one, two = Device("GPU-aa"), Device("GPU-bb")
    with_nvml(Nvml(one, two))
    peak, source = served(two, watch(timed=False), used=None).peak()
    assert peak == 300.0
    assert source.startswith("nvml-device (one of 2 GPUs: without CUDA_DEVICE_ORDER=PCI_BUS_ID")
    assert served(two, watch(timed=False), used=MIB).peak() == (1.0, "nvml-process")  # whichever GPU it is


def test_a_sample_that_nvml_refuses_is_no_sample(with_nvml: WithNvml, clock: Clock) -> None:
    nvml = Nvml(Device("GPU-aa"))
    with_nvml(nvml)
    found = watch(timed=False)
    nvml.refused = {"memory", "processes"}
    found([OURS])
    assert found.peak() == (None, "NVML: memory: Not Supported")


def test_memory_of_a_part_is_the_parts(with_nvml: WithNvml, clock: Clock) -> None:
    whole = Device("GPU-aa", parts=[Device("MIG-x"), Device("MIG-y")])
    with_nvml(Nvml(whole), {"CUDA_VISIBLE_DEVICES": "MIG-y"})
    found = watch(timed=False)
    whole.used += 2**33
    assert served(whole.parts[1], found, used=None).peak() == (300.0, "nvml-device")


def test_what_is_timed_is_asked_of_its_processes_and_not_of_its_memory(with_nvml: WithNvml, clock: Clock) -> None:
    nvml = Nvml(Device("GPU-aa"))
    with_nvml(nvml)
    found = watch(timed=True)
    nvml.asked.clear()
    found([os.getpid()])
    assert nvml.asked == ["processes"]
