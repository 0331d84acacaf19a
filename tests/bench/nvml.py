"""A stand-in for NVML: devices that a test changes, and processes that really run."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


class NvmlError(Exception):
    """As NVML's are: not known before it is loaded."""


@dataclass
class Device:
    uuid: str
    used: int = 2**30
    processes: Sequence[Any] | Callable[[], Sequence[Any]] = ()
    percent: int = 0
    parts: list[Device] = field(default_factory=list)


class Nvml(types.ModuleType):
    """As much of `pynvml` as is asked, over devices that a test changes; what is in `refused` raises.

    `asked` has the questions that may be refused, in their order.
    """

    def __init__(self, *devices: Device, refused: Sequence[str] = ()) -> None:
        super().__init__("pynvml")
        self.devices = list(devices)
        self.refused = set(refused)
        self.asked: list[str] = []

    def _answer(self, name: str) -> None:
        self.asked.append(name)
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

    def nvmlDeviceGetComputeRunningProcesses(self, device: Device) -> Sequence[Any]:  # noqa: N802
        self._answer("processes")
        return device.processes() if callable(device.processes) else device.processes

    def nvmlDeviceGetUtilizationRates(self, device: Device) -> Any:  # noqa: N802
        self._answer("utilisation")
        return types.SimpleNamespace(gpu=device.percent, memory=0)


def running(pid: int, used: int | None) -> Any:
    return types.SimpleNamespace(pid=pid, usedGpuMemory=used)


def serving_below(folder: Path, *, used: int | None) -> list[Any]:
    """The processes that serve in a folder below `folder`, as if each of them had `used` bytes on the GPU."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text(encoding="utf-8", errors="replace").split("\0")
        except OSError:
            continue
        if words[2:3] in (["serve"], ["duelling"]) and words[3].startswith(str(folder)):
            found.append(running(int(path.parent.name), used))
    return found


WithNvml = Callable[..., None]
"""`put`, for the test that asks for it."""


def put(monkeypatch: pytest.MonkeyPatch, nvml: Nvml | None, environ: Mapping[str, str] | None = None) -> None:
    """Put a stand-in in the place of `pynvml`, under the variables `environ`; None is where it is not installed."""
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (environ or {}).items():
        monkeypatch.setenv(name, value)
