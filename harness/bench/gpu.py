"""What NVML tells of the GPU. It answers without opening CUDA, so any process may ask.

CUDA's first device is the GPU of every cell, and NVML has to be asked about that one: `CUDA_VISIBLE_DEVICES` names it
by index, by the beginning of its UUID, or by a MIG device's. By index it is known only where CUDA counts as NVML does,
by PCI bus (`CUDA_DEVICE_ORDER=PCI_BUS_ID`), or where there is one GPU alone; by default CUDA counts the fastest first.
Who uses it, and how much of its memory, is in `harness.bench.gpu_use`.
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


def answer_or(otherwise: T, question: Callable[..., T], *arguments: Any) -> T:
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
        divided = answer_or([0], nvml.nvmlDeviceGetMigMode, handle)[0]
        most = answer_or(0, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) if divided else 0
        parts = [answer_or("", _mig_uuid, nvml, handle, part) for part in range(most)]
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


@dataclass(frozen=True)
class Opened:
    """NVML itself, and its handles of the GPUs that CUDA's first device may be.

    `doubt` is that of `Choice`. Where there is no handle, `reason` says why.
    """

    nvml: Any = None
    handles: tuple[Any, ...] = ()
    doubt: str = ""
    reason: str = ""


def opened() -> Opened:
    """NVML, opened to be asked again and again; it never raises, also where there is no GPU."""
    try:
        nvml = _nvml()
        choice = choose(_listed(nvml), os.environ)
        handles = tuple(_handle(nvml, uuid) for uuid in choice.uuids)
        return Opened(nvml, handles, choice.doubt, choice.reason)
    except ImportError:
        return Opened(reason=_NO_NVML)
    except Exception as error:  # noqa: BLE001 - NVML's errors are classes made at run time
        return Opened(reason=f"NVML: {error}")
