"""Locks: the full transitive resolution of a combination, with hashes, made by uv and kept in git.

A set of pins without a solution leaves the resolver's reason in the lock's place, and that is a result too.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from uv import find_uv_bin

from harness.bench.environment import pins_of
from harness.bench.errors import UsageError
from harness.matrix.combination import Combination

BENCH_REQUIREMENTS = Path("harness/bench/requirements.in")
_UNSATISFIABLE = "No solution found"
_OFFLINE = "network was disabled"  # then it only looked into its cache


@dataclass(frozen=True)
class Lock:
    """The lock of a combination. `reason` is the resolver's where there is no solution; then `path` holds it."""

    path: Path
    text: str
    reason: str = ""

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]


def lock_path(root: Path, name: str) -> Path:
    """Where the lock of a combination is."""
    return root / "matrices" / "locks" / f"{name}.txt"


def reason_path(root: Path, name: str) -> Path:
    """Where the resolver's reason is, if the combination has no solution."""
    return root / "matrices" / "locks" / f"{name}.unresolvable"


def read_lock(root: Path, combination: Combination) -> Lock:
    """The lock of a combination.

    Raises `UsageError` where there is none, or where the combination was edited since it was made.
    """
    name = combination.name
    reason = reason_path(root, name)
    if reason.exists():
        text = reason.read_text(encoding="utf-8")
        stated, _, why = text.partition("\n\n")
        if stated != _stated(combination):
            msg = f"{combination.path} was edited since its lock was tried. Run `harness lock {name}`."
            raise UsageError(msg)
        return Lock(reason, "", why.strip())
    path = lock_path(root, name)
    if not path.exists():
        msg = f"{name} has no lock. Run `harness lock {name}`."
        raise UsageError(msg)
    text = path.read_text(encoding="utf-8")
    stale = _stale(combination, pins_of(text), text)
    if stale:
        msg = f"matrices/locks/{name}.txt does not fit {combination.path}: {stale}. Run `harness lock {name}`."
        raise UsageError(msg)
    return Lock(path, text)


def _stale(combination: Combination, pins: Mapping[str, str], text: str) -> str:
    """Why a lock is not this combination's, or nothing."""
    if f"--python-version {combination.python} " not in text:
        return f"it was not made for Python {combination.python}"
    for requirement in combination.requirements:
        python = {"python_version": combination.python, "python_full_version": f"{combination.python}.0"}
        if requirement.marker is not None and not requirement.marker.evaluate(python):
            continue
        locked = pins.get(canonicalize_name(requirement.name))
        if locked is None or not requirement.specifier.contains(locked, prereleases=True):
            return f"{requirement} is asked for, and {locked or 'nothing'} is locked"
    return ""


def _stated(combination: Combination) -> str:
    """The combination in one line a requirement, to tell whether a recorded reason is still about it."""
    lines = [f"# python: {combination.python}", *(f"# {requirement}" for requirement in combination.requirements)]
    return "\n".join(lines)


def _compile(root: Path, python: str, sources: list[Path], output: Path, *options: str) -> str:
    """Run `uv pip compile`; the resolver's reason where there is no solution, else nothing.

    Paths are given relative to the root, since uv writes its command line into the file.
    """
    command = [find_uv_bin(), "pip", "compile", "--python-version", python, "--generate-hashes"]
    command += [f"--output-file={output}", *options, *map(str, sources)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    text = done.stderr.strip()
    if _UNSATISFIABLE in text and _OFFLINE not in text:
        return re.sub(r"https?://\S+", "the package index", text[text.index(_UNSATISFIABLE) :])
    msg = (
        f"uv could not resolve {sources[0]}: {text[-800:]}\n"
        "Nothing was written. If it could not reach the package index, check the network and try again."
    )
    raise UsageError(msg)


def lock(root: Path, combination: Combination, *, upgrade: bool = False) -> Lock:
    """Resolve a combination and write its lock, or the resolver's reason.

    Pins of an existing lock are kept where they still fit, unless `upgrade`.
    Raises `UsageError` without writing where uv could not work at all, or where what the bench itself needs would
    move a pin of the combination.
    """
    path, reason = lock_path(root, combination.name), reason_path(root, combination.name)
    options = ["--upgrade"] if upgrade else []
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder, "alone.txt")
        if path.exists():
            alone.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        why = _compile(root, combination.python, [combination.path], alone, *options)
        path.parent.mkdir(parents=True, exist_ok=True)
        if why:
            reason.write_text(f"{_stated(combination)}\n\n{why}\n", encoding="utf-8")
            path.unlink(missing_ok=True)
            return Lock(reason, "", why)
        before = path.read_bytes() if path.exists() else None
        sources = [combination.path, BENCH_REQUIREMENTS]
        output = path.relative_to(root)
        why = _compile(root, combination.python, sources, output, *options)
        moved = "" if why else _moved(pins_of(alone.read_text(encoding="utf-8")), pins_of(path.read_text("utf-8")))
        if why or moved:
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before)
            msg = (
                f"{BENCH_REQUIREMENTS} does not fit beside {combination.name} without moving what is tested: "
                f"{moved or why}. Loosen it, and lock again."
            )
            raise UsageError(msg)
    reason.unlink(missing_ok=True)
    return Lock(path, path.read_text(encoding="utf-8"))


def _moved(alone: Mapping[str, str], together: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name} {version} becomes {together.get(name)}"
        for name, version in alone.items()
        if together.get(name) != version
    )
