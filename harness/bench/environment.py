"""What this environment and this machine are, told from inside, and whether the environment is what its lock says.

``python -m harness.bench.environment [LOCK]`` prints one line of JSON: `inside`. The harness's own side runs this file
by its path, in an interpreter that need not know of `harness`, so that nothing of ours is imported at module level.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

# Seeds of a virtual environment; a lock may name them or not.
_SEEDS = frozenset({"pip", "setuptools", "wheel", "uv"})

ANY_VERSION = "@"
"""The version of what a lock names by an address that does not tell it: of a repository, a folder."""

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_ADDRESS = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])? ?@ ?(?P<address>[^\s;\\]+)")
# Written by the harness above what is on this machine: uv names only the place.
_LOCAL = re.compile(r"^# package: (?P<name>\S+) (?P<version>\S+), content: ")

# What the bench needs of an environment, module to distribution. GPUs are only not told where nvidia-ml-py is absent.
_NEEDS = {"pytest": "pytest", "pytest_benchmark": "pytest-benchmark", "filelock": "filelock"}


def canonical(name: str) -> str:
    """A distribution's name as the package index compares it (PEP 503).

    By hand, since an environment whose `packaging` is broken must still be able to tell what it has.
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, str]:
    """Every distribution that this interpreter can import, canonical name to version."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            # The first on the path is the one that is imported.
            found.setdefault(canonical(name), distribution.version)
    return dict(sorted(found.items()))


def pins_of(lock: str) -> dict[str, str]:
    """The pins of a lock's text, canonical name to version; `ANY_VERSION` for an address that does not tell it."""
    pins = {}
    for line in lock.splitlines():
        if match := _PIN.match(line) or _LOCAL.match(line):
            pins[canonical(match["name"])] = match["version"]
        elif match := _ADDRESS.match(line):
            pins[canonical(match["name"])] = _version_in(match["address"])
    return pins


def _version_in(address: str) -> str:
    """The version that the name of a wheel tells."""
    file = unquote(urlsplit(address).path).rpartition("/")[2]
    parts = file.split("-")
    return parts[1] if file.endswith(".whl") and len(parts) > 2 else ANY_VERSION  # noqa: PLR2004 - name and version


def _same_version(one: str | None, other: str | None) -> bool:
    """Whether two versions are equal, spelled alike or not: a lock has 2024.7.4 where a package says 2024.07.04."""
    if one is None or other is None or one == other:
        return one == other
    if ANY_VERSION in (one, other):
        return True
    try:
        from packaging.version import InvalidVersion, Version  # comes with pytest
    except ImportError:
        return False
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


@dataclass(frozen=True)
class Deviation:
    """One package that is not as the lock says; None where a side does not have it."""

    name: str
    locked: str | None
    installed: str | None

    def __str__(self) -> str:
        """For a person: `numpy: 1.24.3 locked, 1.26.4 installed`."""
        return f"{self.name}: {self.locked or 'not'} locked, {self.installed or 'not'} installed"


def deviations(pins: Mapping[str, str], packages: Mapping[str, str]) -> list[Deviation]:
    """Every difference between a lock's pins and what is installed, in the order of names."""
    return [
        Deviation(name, pins.get(name), packages.get(name))
        for name in sorted({*pins, *packages})
        if not _same_version(pins.get(name), packages.get(name)) and not (name in _SEEDS and name not in pins)
    ]


def missing() -> dict[str, str]:
    """The distributions that the bench needs and that cannot be imported, each with the reason."""
    reasons = {distribution: _reason_against(module) for module, distribution in _NEEDS.items()}
    return {distribution: reason for distribution, reason in reasons.items() if reason}


def _reason_against(module: str) -> str:
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - a broken package may raise anything
        return f"{type(error).__name__}: {error}"
    return ""


def folders() -> list[str]:
    """The folders that this interpreter has packages in."""
    places = [Path(place) for place in sys.path if place and Path(place).is_dir()]
    return [str(place.resolve()) for place in dict.fromkeys(places) if next(place.glob("*.dist-info"), None)]


def inside(lock: str | None = None) -> dict[str, Any]:
    """What the own side asks of an environment: Python's version, packages, and what is wrong with them.

    `deviations` from the text of a lock are a sentence a package; `missing` is what the bench lacks, with reasons.
    """
    packages = installed()
    found = deviations(pins_of(lock), packages) if lock is not None else []
    return {
        "python": platform.python_version(),
        "packages": packages,
        "deviations": {deviation.name: str(deviation) for deviation in found},
        "missing": missing(),
        "folders": folders(),
    }


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.machine()


def machine() -> dict[str, Any]:
    """CPU model, usable cores, memory in MiB, operating system; nothing that names one machine."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "os": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def description() -> dict[str, Any]:
    """What a run's record says of its environment and machine."""
    from harness import __version__
    from harness.bench import gpu

    found = gpu.describe()
    return {
        "packages": installed(),
        "python": platform.python_version(),
        "machine": machine(),
        "gpu": found.gpu,
        "driver": found.driver,
        "loadavg": [round(value, 2) for value in os.getloadavg()],
        "harness_version": __version__,
    }


def main() -> int:
    """Print `inside`, held against the lock that is named, if one is; 1 where it is not what the lock says."""
    lock = Path(sys.argv[1]).read_text(encoding="utf-8") if sys.argv[1:] else None
    told = inside(lock)
    print(json.dumps(told))  # noqa: T201 - this is the answer
    return 1 if told["deviations"] else 0


if __name__ == "__main__":
    sys.exit(main())
