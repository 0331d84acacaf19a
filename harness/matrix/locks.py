"""Locks: the full transitive resolution of a combination, with hashes, made by uv and kept in git.

A set of pins without a solution leaves the resolver's reason in the lock's place, and that is a result too.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.bench.environment import pins_of
from harness.bench.errors import ToolBrokenError, UsageError
from harness.matrix import tooling
from harness.matrix.combination import Combination, folder_of
from harness.matrix.resolving import AbsentError, Fact, kind_of, understand

BENCH_REQUIREMENTS = Path("harness/bench/requirements.in")


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

    @property
    def kind(self) -> str:
        """What kind of reason it is, as a table's `error_type` has it; empty where there is a solution."""
        return kind_of(self.reason) if self.reason else ""


def lock_path(root: Path, name: str) -> Path:
    """Where the lock of a combination is: in the folder `locks` beside its own file."""
    return folder_of(root, name) / "locks" / f"{name}.txt"


def reason_path(root: Path, name: str) -> Path:
    """Where the resolver's reason is, if the combination has no solution."""
    return folder_of(root, name) / "locks" / f"{name}.unresolvable"


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


def _compile(root: Path, python: str, sources: list[Path], output: Path, *options: str, named: Path) -> Fact | None:
    """Run `uv pip compile` into `output`; the fact of the pins where there is no solution, else nothing.

    Raises what `understand` does. uv writes its command line into the file, so it is given paths relative to the root,
    and told to write the one that ends in `named`, where the file belongs.
    """
    command = ["pip", "compile", "--python-version", python, "--generate-hashes"]
    shown = ["uv", *command, f"--output-file={named}", *map(str, sources)]
    done = subprocess.run(
        [tooling.uv(), *command, f"--output-file={output}", *options, *map(str, sources)],
        cwd=root,
        env={**os.environ, "UV_CUSTOM_COMPILE_COMMAND": shlex.join(shown)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        msg = f"resolving {sources[0]}: uv was ended by signal {-done.returncode}. Nothing was written."
        raise ToolBrokenError(msg)
    return understand(done.stderr, f"resolving {sources[0]}")


def lock(root: Path, combination: Combination, *, upgrade: bool = False) -> Lock:
    """Resolve a combination and write its lock, or the resolver's reason.

    Pins of an existing lock are kept where they still fit, unless `upgrade`. Without writing anything, this raises
    `UsageError` where the package index does not have what is asked for, or where what the bench itself needs would
    move a pin of the combination; and `IndexUnreachableError`, `DiskFullError`, `NotWritableError` or
    `ToolBrokenError` where uv could not work.
    """
    path, reason = lock_path(root, combination.name), reason_path(root, combination.name)
    if not path.is_relative_to(root):
        msg = (
            f"{combination.name} comes with the harness, and is locked. "
            f"`harness init --from {combination.name}` copies it, so that you can change it here."
        )
        raise UsageError(msg)
    options = ["--upgrade"] if upgrade else []
    with tooling.told_as_infrastructure(f"locking {combination.name}"), tempfile.TemporaryDirectory() as folder:
        alone, together = Path(folder, "alone.txt"), Path(folder, "together.txt")
        if path.exists():
            for preferred in (alone, together):
                preferred.write_bytes(path.read_bytes())
        named = path.relative_to(root)
        try:
            fact = _compile(root, combination.python, [combination.path], alone, *options, named=named)
        except AbsentError as error:
            msg = f"{error}{_nearest(root, combination.python, error.requirement)}"
            raise UsageError(msg) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        if fact is not None:
            _write(reason, f"{_stated(combination)}\n\n{fact.reason}\n".encode())
            path.unlink(missing_ok=True)
            return Lock(reason, "", fact.reason)
        sources = [combination.path, BENCH_REQUIREMENTS]
        fact = _compile(root, combination.python, sources, together, *options, named=named)
        moved = "" if fact else _moved(pins_of(alone.read_text("utf-8")), pins_of(together.read_text("utf-8")))
        if fact or moved:
            msg = (
                f"{BENCH_REQUIREMENTS} does not fit beside {combination.name} without moving what is tested: "
                f"{moved or (fact.reason if fact else '')}. Loosen it, and lock again."
            )
            raise UsageError(msg)
        _write(path, together.read_bytes())
        reason.unlink(missing_ok=True)
    return Lock(path, path.read_text(encoding="utf-8"))


def _write(path: Path, content: bytes) -> None:
    """Write beside and rename: a full disk must not leave half a lock."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _nearest(root: Path, python: str, requirement: str) -> str:
    """What to add on the nearest version that the package index has, where an exact one is asked for."""
    try:
        asked = Requirement(requirement)
    except InvalidRequirement:
        return ""
    exact = [specifier.version for specifier in asked.specifier if specifier.operator == "=="]
    if len(exact) != 1:
        return ""
    for operator, strategy in (("<=", "highest"), (">=", "lowest")):
        command = [tooling.uv(), "pip", "compile", "-", "--quiet", "--no-deps", "--no-header", "--no-annotate"]
        command += ["--python-version", python, "--prerelease=disallow", f"--resolution={strategy}"]
        sought = f"{asked.name}{operator}{exact[0]}\n"
        done = subprocess.run(command, cwd=root, input=sought, capture_output=True, text=True, check=False)
        found = pins_of(done.stdout).get(canonicalize_name(asked.name)) if done.returncode == 0 else None
        if found:
            return f" The nearest that it has is {asked.name}=={found.partition('+')[0]}."
    return ""


def _moved(alone: Mapping[str, str], together: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name} {version} becomes {together.get(name)}"
        for name, version in alone.items()
        if together.get(name) != version
    )
