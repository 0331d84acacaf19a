"""What NVML tells of the GPU. It answers without opening CUDA, so any process may ask.

CUDA's first device is the GPU of every cell, and NVML has to be asked about that one: `CUDA_VISIBLE_DEVICES` names it
by index, by the beginning of its UUID, or by a MIG device's. By index it is known only where CUDA counts as NVML does,
by PCI bus (`CUDA_DEVICE_ORDER=PCI_BUS_ID`), or where there is one GPU alone; by default CUDA counts the fastest first.

Memory has a ladder: what NVML counts for the serving process; else what is in use on the device less what was in
use before, which holds only where nobody else uses it. Which one it was is recorded; unknown is never 0.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.bench.errors import UsageError

T = TypeVar("T")

DEVICES = ("cpu", "cuda", "auto")

_VISIBLE, _ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
_NO_NVML = "nvidia-ml-py is not installed"


@dataclass(frozen=True)
class Found:
    """`gpu` is name, memory in MiB and count of the GPUs, or None; `reason` says why there is none."""

    gpu: dict[str, Any] | None
    driver: str | None
    reason: str = ""


@dataclass(frozen=True)
class Gpu:
    """One GPU as NVML counts them. `uuid` is NVML's, `parts` the UUIDs of its MIG devices where it is divided."""

    uuid: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The UUIDs that CUDA's first device may be, likeliest first, and how many devices CUDA sees.

    `doubt` says why it is not known which of them, where there are several; with none, `reason` says why.
    """

    uuids: tuple[str, ...]
    count: int = 0
    doubt: str = ""
    reason: str = ""


def choose(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> Choice:
    """Which of NVML's GPUs is CUDA's first device.

    As the CUDA programming guide has it (environment variables, device enumeration): entries count up to the first
    that names nothing, a UUID may be cut short as long as it fits one device, and a GPU that is divided (MIG) is seen
    as its first part.
    """
    if not gpus:
        return Choice((), reason="NVML sees no GPU")
    visible = environ.get(_VISIBLE, ",".join(map(str, range(len(gpus)))))
    entries = [entry.strip() for entry in visible.split(",")]
    if entries[0] in ("", "-1"):
        return Choice((), reason=f"{_VISIBLE} hides every GPU")
    named = list(itertools.takewhile(bool, (_named(gpus, entry) for entry in entries)))
    if not named:
        return Choice((), reason=f"{_VISIBLE}={visible} names no GPU that NVML sees")
    if len(set(named)) < len(named):
        return Choice((), reason=f"{_VISIBLE}={visible} names a GPU twice, and CUDA then sees none")
    if entries[0].isdecimal() and len(gpus) > 1 and environ.get(_ORDER) != "PCI_BUS_ID":
        others = [_first_part(gpu) for gpu in gpus if _first_part(gpu) != named[0]]
        doubt = f"one of {len(gpus)} GPUs: without {_ORDER}=PCI_BUS_ID NVML does not know which is CUDA's first"
        return Choice((named[0], *others), len(named), doubt)
    return Choice((named[0],), len(named))


def _named(gpus: Sequence[Gpu], entry: str) -> str:
    """The UUID that an entry of CUDA_VISIBLE_DEVICES names; empty where it is none, or not one alone."""
    if entry.isdecimal():
        return _first_part(gpus[int(entry)]) if int(entry) < len(gpus) else ""
    if not entry.startswith(("GPU-", "MIG-")):
        return ""
    wholes = {gpu.uuid: _first_part(gpu) for gpu in gpus}
    parts = {part: part for gpu in gpus for part in gpu.parts}
    fitting = [answer for uuid, answer in {**wholes, **parts}.items() if uuid.startswith(entry)]
    return fitting[0] if len(fitting) == 1 else ""


def _first_part(gpu: Gpu) -> str:
    return gpu.parts[0] if gpu.parts else gpu.uuid


def _nvml() -> Any:
    import pynvml

    pynvml.nvmlInit()
    return pynvml


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _or(otherwise: T, question: Callable[..., T], *arguments: Any) -> T:
    """What NVML answers; `otherwise` where this driver or GPU does not know the question."""
    try:
        return question(*arguments)
    except Exception:  # noqa: BLE001 - NVML's errors are classes made at run time
        return otherwise


def _listed(nvml: Any) -> list[Gpu]:
    """Every GPU that NVML counts."""
    gpus = []
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        divided = _or([0], nvml.nvmlDeviceGetMigMode, handle)[0]
        most = _or(0, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) if divided else 0
        parts = [_or("", _mig_uuid, nvml, handle, part) for part in range(most)]
        gpus.append(Gpu(_text(nvml.nvmlDeviceGetUUID(handle)), tuple(filter(None, parts))))
    return gpus


def _mig_uuid(nvml: Any, handle: Any, part: int) -> str:
    return _text(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, part)))


def _handle(nvml: Any, uuid: str) -> Any:
    return nvml.nvmlDeviceGetHandleByUUID(uuid.encode())


def describe() -> Found:
    """The GPU that CUDA would use first, and how many it would see."""
    if os.environ.get(_VISIBLE) in ("", "-1"):
        return Found(None, None, f"{_VISIBLE} hides every GPU")
    try:
        nvml = _nvml()
        choice = choose(_listed(nvml), os.environ)
        if not choice.uuids:
            return Found(None, None, choice.reason)
        handle = _handle(nvml, choice.uuids[0])
        gpu = {
            "name": _text(nvml.nvmlDeviceGetName(handle)),
            "memory_mb": nvml.nvmlDeviceGetMemoryInfo(handle).total // 2**20,
            "count": choice.count,
        }
        return Found(gpu, _text(nvml.nvmlSystemGetDriverVersion()))
    except ImportError:
        return Found(None, None, _NO_NVML)
    except Exception as error:  # noqa: BLE001 - NVML's errors are classes made at run time; each means no GPU to us
        return Found(None, None, f"NVML: {error}")


def resolve(device: str) -> str:
    """`cpu` or `cuda` for what was asked; `auto` is `cuda` where NVML sees a GPU. `why_cpu` says why it is not."""
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


def why_cpu() -> str:
    """Why `auto` is the CPU here, such as "NVML sees no GPU"; empty where it is CUDA."""
    return describe().reason


def cuda_of_driver() -> str:
    """The newest CUDA that the driver knows, such as `12.4`; empty where NVML does not tell."""
    try:
        number = int(_nvml().nvmlSystemGetCudaDriverVersion_v2())
    except Exception:  # noqa: BLE001 - NVML's errors are classes made at run time
        return ""
    return f"{number // 1000}.{number % 1000 // 10}"


class PeakSampler:
    """Samples the GPU memory of a process group; give it to `harness.bench.processes.watch`.

    It never raises: what it cannot tell, it says in `result`.
    """

    def __init__(self) -> None:
        self._reason = ""
        self._doubt = ""
        self._process_peak = 0
        self._growth: list[int] = []
        self._handles: list[Any] = []
        try:
            self._nvml = _nvml()
            choice = choose(_listed(self._nvml), os.environ)
            self._reason, self._doubt = choice.reason, choice.doubt
            handles = [_handle(self._nvml, uuid) for uuid in choice.uuids]
            self._idle = [self._used(handle) for handle in handles]
            self._growth = [0] * len(handles)
            self._handles = handles
        except ImportError:
            self._reason = _NO_NVML
        except Exception as error:  # noqa: BLE001 - NVML's errors are classes made at run time
            self._reason = f"NVML: {error}"

    def _used(self, handle: Any) -> int:
        return int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used)

    def __call__(self, pids: Sequence[int]) -> None:
        """Take one sample."""
        own = 0
        for index, handle in enumerate(self._handles):
            try:
                self._growth[index] = max(self._growth[index], self._used(handle) - self._idle[index])
            except Exception as error:  # noqa: BLE001 - one sample that NVML refuses is none; the last reason is told
                self._reason = f"NVML: {error}"
            running: list[Any] = _or([], self._nvml.nvmlDeviceGetComputeRunningProcesses, handle)
            # In a container, and on some drivers, NVML does not tell a process's memory, or names it by another id.
            own += sum(process.usedGpuMemory or 0 for process in running if process.pid in pids)
        self._process_peak = max(self._process_peak, own)

    def result(self) -> tuple[float | None, str]:
        """Peak in MiB and where the figure is from: `nvml-process`, `nvml-device`, or why there is none."""
        if self._process_peak:
            return self._process_peak / 2**20, "nvml-process"
        grown = max(self._growth, default=0)
        if grown > 0:
            return grown / 2**20, f"nvml-device ({self._doubt})" if self._doubt else "nvml-device"
        return None, self._reason or "NVML saw no memory in use"
