"""Which GPU NVML is asked about, and what is told where it cannot answer. A stand-in for NVML: there is none here."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.bench import gpu
from harness.bench.gpu import Choice, Gpu, PeakSampler, choose

ONE, TWO, DIVIDED = Gpu("GPU-aa11"), Gpu("GPU-ab22"), Gpu("GPU-cc33", ("MIG-d1", "MIG-d2"))
BY_BUS = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def visible(value: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": value}


@pytest.mark.parametrize(
    ("gpus", "environ", "uuids", "count"),
    [
        ([ONE], {}, ["GPU-aa11"], 1),
        ([ONE], visible("0"), ["GPU-aa11"], 1),
        ([ONE, TWO], BY_BUS, ["GPU-aa11"], 2),
        ([ONE, TWO], {**BY_BUS, **visible("1")}, ["GPU-ab22"], 1),
        ([ONE, TWO], {**BY_BUS, **visible("1, 0")}, ["GPU-ab22"], 2),
        ([ONE, TWO], {**BY_BUS, **visible("1,7,0")}, ["GPU-ab22"], 1),
        ([ONE, TWO], {**BY_BUS, **visible("1,-1,0")}, ["GPU-ab22"], 1),
        ([ONE, TWO], visible("GPU-ab22"), ["GPU-ab22"], 1),
        ([ONE, TWO], visible("GPU-ab"), ["GPU-ab22"], 1),
        ([ONE, TWO], visible("GPU-ab,GPU-aa"), ["GPU-ab22"], 2),
        ([ONE, DIVIDED], visible("MIG-d2"), ["MIG-d2"], 1),
        ([ONE, DIVIDED], visible("MIG-d2,MIG-d1"), ["MIG-d2"], 2),
        ([ONE, DIVIDED], visible("GPU-cc"), ["MIG-d1"], 1),
        ([DIVIDED], {}, ["MIG-d1"], 1),
    ],
)
def test_cudas_first_device_is_known(
    gpus: Sequence[Gpu], environ: dict[str, str], uuids: list[str], count: int
) -> None:
    assert choose(gpus, environ) == Choice(tuple(uuids), count)


@pytest.mark.parametrize(
    "environ", [{}, visible("0"), visible("0,1"), {**visible("0"), "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}]
)
def test_cudas_first_device_by_index_is_doubtful_where_cuda_counts_in_its_own_order(environ: dict[str, str]) -> None:
    choice = choose([ONE, TWO], environ)
    assert choice.uuids == ("GPU-aa11", "GPU-ab22")
    assert "one of 2 GPUs: without CUDA_DEVICE_ORDER=PCI_BUS_ID" in choice.doubt


@pytest.mark.parametrize(
    ("gpus", "environ", "reason"),
    [
        ([], {}, "NVML sees no GPU"),
        ([ONE], visible(""), "CUDA_VISIBLE_DEVICES hides every GPU"),
        ([ONE], visible("-1"), "CUDA_VISIBLE_DEVICES hides every GPU"),
        ([ONE], visible("1"), "CUDA_VISIBLE_DEVICES=1 names no GPU that NVML sees"),
        ([ONE, TWO], visible("GPU-a"), "CUDA_VISIBLE_DEVICES=GPU-a names no GPU that NVML sees"),
        ([ONE], visible("aa11"), "CUDA_VISIBLE_DEVICES=aa11 names no GPU that NVML sees"),
        ([ONE, TWO], visible("0,0"), "CUDA_VISIBLE_DEVICES=0,0 names a GPU twice, and CUDA then sees none"),
    ],
)
def test_why_there_is_no_gpu(gpus: Sequence[Gpu], environ: dict[str, str], reason: str) -> None:
    assert choose(gpus, environ) == Choice((), reason=reason)


class NvmlError(Exception):
    """As NVML's are: not known before it is loaded."""


@dataclass
class Device:
    uuid: str
    used: int = 2**30
    processes: list[Any] = field(default_factory=list)
    parts: list[Device] = field(default_factory=list)


class Nvml(types.ModuleType):
    """As much of `pynvml` as is asked, over devices that a test changes; what is in `refused` raises."""

    def __init__(self, *devices: Device, refused: Sequence[str] = ()) -> None:
        super().__init__("pynvml")
        self.devices = list(devices)
        self.refused = set(refused)

    def _answer(self, name: str) -> None:
        if name in self.refused:
            msg = f"{name}: Not Supported"
            raise NvmlError(msg)

    def nvmlInit(self) -> None:  # noqa: N802
        self._answer("init")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:  # noqa: N802
        return self.devices[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> Device:  # noqa: N802
        known = [*self.devices, *(part for device in self.devices for part in device.parts)]
        return next(device for device in known if device.uuid == uuid.decode())

    def nvmlDeviceGetUUID(self, device: Device) -> bytes:  # noqa: N802
        return device.uuid.encode()

    def nvmlDeviceGetName(self, device: Device) -> str:  # noqa: N802
        return f"name of {device.uuid}"

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "570.1"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        self._answer("cuda")
        return 12040

    def nvmlDeviceGetMigMode(self, device: Device) -> list[int]:  # noqa: N802
        self._answer("mig")
        return [int(bool(device.parts)), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Device) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Device, index: int) -> Device:  # noqa: N802
        return device.parts[index]  # an IndexError, where the real one raises an error of its own

    def nvmlDeviceGetMemoryInfo(self, device: Device) -> Any:  # noqa: N802
        self._answer("memory")
        return types.SimpleNamespace(used=device.used, total=2**34)

    def nvmlDeviceGetComputeRunningProcesses(self, device: Device) -> list[Any]:  # noqa: N802
        self._answer("processes")
        return device.processes


@pytest.fixture
def with_nvml(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a stand-in in the place of `pynvml`, under variables of the test's."""

    def put(nvml: Nvml | None, environ: dict[str, str] | None = None) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (environ or {}).items():
            monkeypatch.setenv(name, value)

    return put


def running(pid: int, used: int | None) -> Any:
    return types.SimpleNamespace(pid=pid, usedGpuMemory=used)


def test_the_newest_cuda_that_the_driver_knows(with_nvml: Any) -> None:
    with_nvml(Nvml(Device("GPU-aa")))
    assert gpu.cuda_of_driver() == "12.4"
    with_nvml(Nvml(Device("GPU-aa"), refused=["cuda"]))
    assert gpu.cuda_of_driver() == ""


def test_the_gpu_is_the_one_that_cuda_sees(with_nvml: Any) -> None:
    with_nvml(Nvml(Device("GPU-aa"), Device("GPU-bb")), visible("GPU-b"))
    assert gpu.describe() == gpu.Found({"name": "name of GPU-bb", "memory_mb": 2**14, "count": 1}, "570.1")
    assert (gpu.resolve("auto"), gpu.why_cpu()) == ("cuda", "")


def test_a_gpu_of_an_older_driver_that_knows_of_no_parts_is_one(with_nvml: Any) -> None:
    with_nvml(Nvml(Device("GPU-aa"), refused=["mig"]))
    assert gpu.resolve("auto") == "cuda"


@pytest.mark.parametrize(
    ("nvml", "environ", "reason"),
    [
        (None, {}, "nvidia-ml-py is not installed"),
        (Nvml(refused=["init"]), {}, "NVML: init: Not Supported"),
        (Nvml(), {}, "NVML sees no GPU"),
        (Nvml(Device("GPU-aa"), refused=["memory"]), {}, "NVML: memory: Not Supported"),
        (Nvml(Device("GPU-aa")), visible("GPU-b"), "CUDA_VISIBLE_DEVICES=GPU-b names no GPU that NVML sees"),
        (Nvml(Device("GPU-aa")), visible(""), "CUDA_VISIBLE_DEVICES hides every GPU"),
    ],
)
def test_auto_says_why_it_is_the_cpu_and_a_cell_is_not_lost(
    with_nvml: Any, nvml: Nvml | None, environ: dict[str, str], reason: str
) -> None:
    with_nvml(nvml, environ)
    assert (gpu.resolve("auto"), gpu.why_cpu()) == ("cpu", reason)
    sampler = PeakSampler()
    sampler([1, 2])
    assert sampler.result() == (None, reason)


def test_memory_is_that_of_the_group_where_nvml_tells_it(with_nvml: Any) -> None:
    one, two = Device("GPU-aa"), Device("GPU-bb")
    with_nvml(Nvml(one, two), visible("GPU-bb"))
    sampler = PeakSampler()
    two.processes = [running(7, 100 * 2**20), running(8, 20 * 2**20), running(9, 2**33), running(8, None)]
    one.processes = [running(7, 2**33)]
    sampler([7, 8])
    two.processes = []
    sampler([7, 8])
    assert sampler.result() == (120.0, "nvml-process")


@pytest.mark.parametrize("refused", [(), ("processes",)])
def test_else_it_is_what_the_device_has_in_use_more(with_nvml: Any, refused: Sequence[str]) -> None:
    one, two = Device("GPU-aa"), Device("GPU-bb")
    with_nvml(Nvml(one, two, refused=refused), visible("GPU-bb"))
    sampler = PeakSampler()
    one.used += 2**33
    two.used += 300 * 2**20
    sampler([7])
    two.used = 0
    sampler([7])
    assert sampler.result() == (300.0, "nvml-device")


def test_a_device_that_is_not_known_is_told_beside_the_figure(with_nvml: Any) -> None:
    one, two = Device("GPU-aa"), Device("GPU-bb")
    with_nvml(Nvml(one, two))
    sampler = PeakSampler()
    two.used += 300 * 2**20
    sampler([7])
    peak, source = sampler.result()
    assert peak == 300.0
    assert source.startswith("nvml-device (one of 2 GPUs: without CUDA_DEVICE_ORDER=PCI_BUS_ID")
    two.processes = [running(7, 2**20)]
    sampler([7])
    assert sampler.result() == (1.0, "nvml-process")  # whichever GPU it is, the process is the one


def test_a_sample_that_nvml_refuses_is_no_sample(with_nvml: Any) -> None:
    nvml = Nvml(Device("GPU-aa"))
    with_nvml(nvml)
    sampler = PeakSampler()
    nvml.refused = {"memory", "processes"}
    sampler([7])
    assert sampler.result() == (None, "NVML: memory: Not Supported")


def test_memory_of_a_part_is_the_parts(with_nvml: Any) -> None:
    whole = Device("GPU-aa", parts=[Device("MIG-x"), Device("MIG-y")])
    with_nvml(Nvml(whole), visible("MIG-y"))
    sampler = PeakSampler()
    whole.used += 2**33
    whole.parts[1].used += 2**20
    sampler([7])
    assert sampler.result() == (1.0, "nvml-device")
    assert gpu.describe().gpu == {"name": "name of MIG-y", "memory_mb": 2**14, "count": 1}
