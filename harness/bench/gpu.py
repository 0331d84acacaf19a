"""What NVML tells of the GPU. It answers without opening CUDA, so any process may ask.

Memory has a ladder: what NVML counts for the serving process; else what is in use on the device less what was in
use before, which holds only where nobody else uses it. Which one it was is recorded; unknown is never 0.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.bench.errors import UsageError

DEVICES = ("cpu", "cuda", "auto")


@dataclass(frozen=True)
class Found:
    """`gpu` is name, memory in MiB and count of the GPUs, or None; `reason` says why there is none."""

    gpu: dict[str, Any] | None
    driver: str | None
    reason: str = ""


def _nvml() -> Any:
    import pynvml

    pynvml.nvmlInit()
    return pynvml


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def describe() -> Found:
    """The GPUs of this machine, unless CUDA_VISIBLE_DEVICES hides them all."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Found(None, None, "CUDA_VISIBLE_DEVICES hides every GPU")
    try:
        nvml = _nvml()
    except ImportError:
        return Found(None, None, "nvidia-ml-py is not installed")
    except Exception as error:  # noqa: BLE001 - NVML's errors are classes made at run time; each means no GPU to us
        return Found(None, None, f"NVML: {error}")
    count = nvml.nvmlDeviceGetCount()
    if not count:
        return Found(None, None, "NVML sees no GPU")
    handle = nvml.nvmlDeviceGetHandleByIndex(0)
    return Found(
        {
            "name": _text(nvml.nvmlDeviceGetName(handle)),
            "memory_mb": nvml.nvmlDeviceGetMemoryInfo(handle).total // 2**20,
            "count": count,
        },
        _text(nvml.nvmlSystemGetDriverVersion()),
    )


def resolve(device: str) -> str:
    """`cpu` or `cuda` for what was asked; `auto` is `cuda` where NVML sees a GPU."""
    if device not in DEVICES:
        msg = f"unknown device {device!r}. There are: {', '.join(DEVICES)}."
        raise UsageError(msg)
    if device == "cpu":
        return device
    found = describe()
    if device == "cuda" and found.gpu is None:
        msg = f"there is no GPU to serve on ({found.reason}). Use --device cpu, or auto."
        raise UsageError(msg)
    return "cpu" if found.gpu is None else "cuda"


class PeakSampler:
    """Samples the GPU memory of a process group; give it to `harness.bench.processes.watch`."""

    def __init__(self) -> None:
        self._nvml = _nvml()
        self._handle = self._nvml.nvmlDeviceGetHandleByIndex(0)
        self._idle = self._used()
        self._process_peak = 0
        self._device_peak = 0

    def _used(self) -> int:
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)

    def __call__(self, pids: Sequence[int]) -> None:
        """Take one sample."""
        self._device_peak = max(self._device_peak, self._used() - self._idle)
        own = [
            process.usedGpuMemory
            for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
            if process.pid in pids and process.usedGpuMemory
        ]
        self._process_peak = max(self._process_peak, sum(own))

    def result(self) -> tuple[float | None, str]:
        """Peak in MiB and where the figure is from."""
        if self._process_peak:
            return self._process_peak / 2**20, "nvml-process"
        if self._device_peak > 0:
            return self._device_peak / 2**20, "nvml-device"
        return None, "NVML saw no memory in use"
