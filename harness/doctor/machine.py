"""The machine: GPU and driver, memory, disks, where temporary files go, the clock."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version

from harness.bench import gpu
from harness.bench.disk import space_at
from harness.bench.environment import machine as described
from harness.bench.environment import pins_of
from harness.bench.errors import HarnessError, UsageError
from harness.bench.plan import Policy
from harness.bench.text import size
from harness.doctor.finding import Finding, fault, fine, warning
from harness.doctor.tools import named, uv_command
from harness.executors.control_groups import memory_limit
from harness.matrix import matrixfile, tooling
from harness.matrix.environment import INSTALLED, folder_of
from harness.matrix.locks import lock_path

_COPIED, _LINKED = 6.5 * 2**30, 0.5 * 2**30
"""What an environment with PyTorch and TensorFlow costs: copied, and linked into a cache that has its packages."""

_LITTLE = 2**30
_LITTLE_SHARED = 64 * 2**20
_FEW_FILES = 100_000
_UV_PATIENCE_S = 5.0

_RUNTIME = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?")


def graphics(root: Path) -> list[Finding]:
    """The GPU, and whether its driver is new enough for the CUDA that each lock brings."""
    found = gpu.describe()
    if found.gpu is None:
        if Path("/dev/nvidiactl").exists() and "CUDA_VISIBLE_DEVICES" not in found.reason:
            told = f"there is one, and it cannot be used ({found.reason}): --device auto is the CPU"
            return [warning("GPU", told, "nvidia-smi")]
        return [fine("GPU", f"none ({found.reason}): --device auto is the CPU")]
    told = f"{found.gpu['name']}, {found.gpu['memory_mb'] // 1024} GiB, driver {found.driver}"
    return [fine("GPU", told), *_drivers(root, gpu.cuda_of_driver())]


def _drivers(root: Path, newest: str) -> Iterator[Finding]:
    """What each lock needs of a driver that knows CUDA up to `newest`; minor versions are compatible."""
    for name in _locked(root):
        pins = pins_of(lock_path(root, name).read_text(encoding="utf-8"))
        needed = next((version for package, version in pins.items() if _RUNTIME.fullmatch(package)), "")
        if not needed:
            continue
        told = f"it brings CUDA {'.'.join(needed.split('.')[:2])}, and the driver knows "
        told += f"up to {newest}" if newest else "what NVML does not tell"
        if newest and Version(needed).major > Version(newest).major:
            remedy = f"Update the driver, or: harness run {name} --device cpu"
            yield fault(f"CUDA of {name}", told, remedy)
        else:
            yield fine(f"CUDA of {name}", told)


def _locked(root: Path) -> list[str]:
    """Combinations and extended ones that have a lock."""
    return [name for name in named(root) if lock_path(root, name).exists()]


def memory(root: Path) -> list[Finding]:
    """Memory, a limit of the control group's, and shared memory, against what a cell may use."""
    limit_mb = _policy(root).memory_limit_mb
    available_mb = described()["memory_mb"]
    found = [_enough("memory", f"{size(available_mb * 2**20)} in all", available_mb, limit_mb)]
    bound = memory_limit()
    if bound is not None and bound // 2**20 < available_mb:
        found.append(_enough("memory of the control group", f"at most {size(bound)}", bound // 2**20, limit_mb))
    with contextlib.suppress(OSError):
        free = space_at(Path("/dev/shm")).free
        if free <= _LITTLE_SHARED:
            told = f"{size(free)} free: models that share tensors between processes fail by it"
            found.append(warning("/dev/shm", told, "In a container: docker run --shm-size=2g"))
        else:
            found.append(fine("/dev/shm", f"{size(free)} free"))
    return found


def _enough(what: str, told: str, available_mb: int, limit_mb: int) -> Finding:
    allowed = f"a cell may use {size(limit_mb * 2**20)}"
    if available_mb >= limit_mb:
        return fine(what, f"{told}; {allowed}")
    remedy = f"In the matrix file: [policy] memory_limit_mb = {max(1, int(available_mb * 0.8))}"
    return warning(what, f"{told}, less than {allowed}: the kernel ends what needs more, other programs too", remedy)


def _policy(root: Path) -> Policy:
    with contextlib.suppress(UsageError):  # told where it is read
        return matrixfile.read(root / "matrices" / "nightly.toml", known=None).policy.policy()
    return Policy()


def disks(root: Path) -> list[Finding]:
    """Room where environments, records, temporary files and uv's cache are, and what the missing ones cost."""
    cache = uv_cache(root)
    places = {".tox": root / ".tox", ".harness": root / ".harness", "temporary files": Path(tempfile.gettempdir())}
    if cache is not None:
        places["uv's cache"] = cache
    devices: dict[int, list[str]] = {}
    for name, place in places.items():
        devices.setdefault(_there(place).stat().st_dev, []).append(name)
    lacking = [name for name in _locked(root) if not (folder_of(root, name) / INSTALLED).exists()]
    linked = cache is not None and _there(cache).stat().st_dev == _there(root).stat().st_dev
    cost = len(lacking) * (_LINKED if linked else _COPIED) + (_COPIED if lacking and cache is None else 0)
    found = []
    for names in devices.values():
        what, place = f"disk of {', '.join(names)}", _there(places[names[0]])
        found.append(_room(what, place, cost if ".tox" in names else 0, lacking))
    if not linked and cache is not None:
        told = f"uv's cache is on another file system: {size(_COPIED)} and 20 s for each environment, not half of one"
        found.append(warning("hard links", told, f'export UV_CACHE_DIR="{root / ".uv-cache"}"'))
    return found + list(_temporary()) + _cached(cache)


def _there(place: Path) -> Path:
    """The folder, or what is there of its path."""
    return next(folder for folder in (place, *place.parents) if folder.exists())


def _room(what: str, place: Path, cost: float, lacking: list[str]) -> Finding:
    status, free = os.statvfs(place), space_at(place).free
    remedy = f"{uv_command()} cache prune"
    told = f"{size(free)} free"
    if not os.access(place, os.W_OK):
        return fault(what, f"{place} may not be written to", f'sudo chown "$USER" "{place}"')
    if free < _LITTLE:
        return fault(what, f"{told}: a run needs at least {size(_LITTLE)}", remedy)
    if free < cost:
        return warning(what, f"{told}; to install {', '.join(lacking)} takes about {size(cost)}", remedy)
    if status.f_files and status.f_favail < _FEW_FILES:
        return warning(what, f"{told}, and room for {status.f_favail} files; an environment has 40000", remedy)
    more = f"; to install {', '.join(lacking)} takes about {size(cost)}" if cost else ""
    return fine(what, told + more)


def _temporary() -> Iterator[Finding]:
    """Whether programs can be started from the folder of temporary files: compiled kernels are."""
    folder = Path(tempfile.gettempdir())
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        told = f"{folder} is mounted noexec: what compiles kernels, as torch.compile and Triton do, fails by it"
        yield warning("temporary files", told, 'export TMPDIR="$HOME/tmp"; mkdir -p "$TMPDIR"')


def uv_cache(root: Path) -> Path | None:
    """Where uv's cache is; None where uv does not tell."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired, HarnessError):
        command = [tooling.uv(), "cache", "dir"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=_UV_PATIENCE_S)
        if done.returncode == 0:
            return Path(done.stdout.strip())
    return None


def _cached(cache: Path | None) -> list[Finding]:
    """How much is in uv's cache, where it tells in time."""
    if cache is None or not cache.exists():
        return []
    with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
        command = [tooling.uv(), "cache", "size", "--preview", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_UV_PATIENCE_S)
        return [fine("uv's cache", f"{size(int(done.stdout))}; `{uv_command()} cache prune` removes what nobody uses")]
    return []


def clock(root: Path) -> list[Finding]:
    """Tables are named by when they began, and the newest counts: none may be of the future."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + 60))
    later = sorted(path.name for path in (root / "results").glob("*/*/[0-9]*T[0-9]*Z") if path.name > now)
    if later:
        told = f"a table was begun at {later[-1]}, which is in the future: new ones would not be the newest"
        remedy = "timedatectl set-ntp true"
        return [warning("clock", told, remedy if shutil.which("timedatectl") else "Set this machine's clock.")]
    return [fine("clock", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))]
