"""Environments: installed by tox from a lock, and held against it from inside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from harness.bench.errors import UsageError

# What would let another Python's packages or another CUDA into a pinned environment.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_FOREIGN_ANYWHERE = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
_FOREIGN_PREFIXES = ("TOX_", "PYTEST_")


@dataclass(frozen=True)
class Environment:
    """An interpreter to run the bench with. `problem` is why there is none, for the table; then nothing can run."""

    python: Path
    problem: str = ""


def clean_environ(*, pinned: bool = True) -> dict[str, str]:
    """This process's variables without those that would reach into a pinned environment.

    An ambient one keeps its own paths: containers find CUDA by them.
    """
    foreign = _FOREIGN if pinned else _FOREIGN_ANYWHERE
    return {
        name: value
        for name, value in os.environ.items()
        if name not in foreign and not name.startswith(_FOREIGN_PREFIXES)
    }


def missing_pythons(versions: Iterable[str]) -> dict[str, str]:
    """The Python versions that are neither installed nor to be had by uv, with uv's reason."""
    missing = {}
    for version in sorted(set(versions)):
        for attempt in (["find", "--no-project"], ["install"]):
            command = [find_uv_bin(), "python", *attempt, version]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
        else:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            missing[version] = re.sub(r"https?://\S+", "the download site", lines[-1].strip()) if lines else ""
    return missing


def require_pythons(wanted: dict[str, str]) -> None:
    """Say before anything is built which combinations have no Python; `wanted` is combination to version."""
    missing = missing_pythons(wanted.values())
    if not missing:
        return
    lines = [
        f"{name} needs Python {version}, which is neither installed nor to be had by uv ({missing[version]})."
        for name, version in wanted.items()
        if version in missing
    ]
    lines.append("Install it, put it on PATH, or leave that combination out. Nothing was built.")
    raise UsageError("\n".join(lines))


def tox_name(name: str) -> str:
    """What tox calls the environment of a combination or an extended one; toxfile.py says the same."""
    return name.replace("+", "-")


def python_of(root: Path, name: str) -> Path:
    """The interpreter of a tox environment."""
    return root / ".tox" / tox_name(name) / "bin" / "python"


def install(root: Path, name: str, log: Path) -> Environment:
    """Let tox install the environment `name`, and hold it against its lock; output goes to `log`."""
    python = python_of(root, name)
    command = [sys.executable, "-m", "tox", "run", "--notest", "-e", tox_name(name), "--workdir", str(root / ".tox")]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            command, cwd=root, env=clean_environ(), stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0 or not python.exists():
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        told = re.sub(r"https?://\S+", "the package index", " | ".join(lines[-6:]))
        return Environment(python, f"tox ended with exit code {done.returncode}: {told}")
    lock = root / "matrices" / "locks" / f"{name}.txt"
    verified = subprocess.run(
        [str(python), "-m", "harness.bench.environment", str(lock)],
        cwd=root,
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    if verified.returncode != 0:
        found = "; ".join((verified.stdout or verified.stderr).strip().splitlines())
        return Environment(
            python,
            f"the environment is not what its lock says ({found}). Run `tox run -r --notest -e {tox_name(name)}`.",
        )
    return Environment(python)


def check_ambient(root: Path, python: Path) -> Environment:
    """An interpreter of the user's own: it must have pytest and pytest-benchmark, whatever else it has."""
    try:
        done = subprocess.run(
            [str(python), "-c", "import pytest, pytest_benchmark"],
            cwd=root,
            env=clean_environ(pinned=False),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        msg = f"{python} is no interpreter that can be started ({error.strerror}). Name its `python` itself."
        raise UsageError(msg) from None
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["it does not start"]
        msg = f"{python} cannot run the bench: {reason[0]}. Install pytest and pytest-benchmark beside its frameworks."
        raise UsageError(msg)
    return Environment(python)
