"""Environments: what the harness knows of one, told from inside, and of the Pythons that they need."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from uv import find_uv_bin

from harness.bench import environment as inside_view
from harness.bench.errors import EnvironmentChangedError, IndexUnreachableError, InterpreterGoneError, UsageError
from harness.bench.fingerprint import normalise_paths
from harness.bench.stages import Outcome, Stage
from harness.matrix import tooling
from harness.matrix.combination import given_folder, is_given
from harness.matrix.variables import let_in
from harness.matrix.wholeness import (
    OURS,
    Change,
    Snapshot,
    claims,
    compare,
    is_as_claimed,
    listed,
    owners,
    package_of_record,
    sites,
    take,
)

# uv's words where the place that Pythons come from did not answer.
_UNREACHABLE = re.compile(r"error sending request|dns error|client error|timed out|HTTP status")

# Nothing of the folder that the harness is called from may be imported in its place.
_RUN_INSIDE = (
    "import runpy, sys; sys.path[:] = [place for place in sys.path if place]; del sys.argv[0]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What an interpreter tells of itself; see `harness.bench.environment.inside`.

    `deviations` are differences from the lock, one a package, for a person. `missing` are modules that the bench needs
    and that cannot be imported, name to reason. `folders` are where its packages are installed.
    """

    python: str
    packages: Mapping[str, str]
    deviations: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An environment that is ready.

    `packages` are those really installed, as seen from inside. `snapshot` is of the files in `folder`, or of the parts
    of it that `within` names; `owners` says which package each belongs to. `found` had changed before, and was mended.
    """

    name: str
    python: Path
    python_version: str
    packages: Mapping[str, str]
    folder: Path
    snapshot: Snapshot
    owners: Mapping[str, str]
    within: tuple[Path, ...] = ()
    found: tuple[Change, ...] = ()

    def changes(self) -> list[Change]:
        """What has changed since it was prepared, in the order of paths.

        A file that was touched, and still is what its package's unchanged RECORD says, has not changed. Raises
        `InterpreterGoneError` where nothing is left to be compared.
        """
        if not self.python.exists():
            msg = f"{self.name}: its interpreter has gone. Somebody deleted the environment."
            raise InterpreterGoneError(msg)
        now = take(self.folder, self.within)
        if now == self.snapshot:
            return []
        found = compare(self.folder, self.snapshot, now, self.owners)
        exchanged = {package_of_record(change.path) for change in found}
        claimed = claims(self.folder, self.within or sites(self.folder))

        def is_only_touched(change: Change) -> bool:
            trusted = [claim for claim in claimed.get(change.path, ()) if claim.package not in exchanged]
            return change.what == "edited" and is_as_claimed(self.folder / change.path, trusted)

        return [change for change in found if not is_only_touched(change)]

    def mended(self, changes: Collection[Change], *, note: Callable[[str], None]) -> Prepared:
        """The environment with changes undone. An ambient one is its owner's: raises `EnvironmentChangedError`."""
        del note
        msg = f"{self.name}: it changed while it was in use: {listed(changes)}. Only its owner can mend it."
        raise EnvironmentChangedError(msg)


@dataclass(frozen=True, kw_only=True)
class FactOfPins:
    """Why pins cannot be installed, or have no solution, whoever tries: what is recorded of each of their cells."""

    outcome: Outcome
    stage: Stage
    error_type: str
    reason: str


def clean_environ(*, pinned: bool = True) -> dict[str, str]:
    """Those of this process's variables that may reach a pinned environment, or an ambient one."""
    return let_in(os.environ, pinned=pinned) | tooling.UNWRAPPED


def missing_pythons(versions: Iterable[str]) -> dict[str, str]:
    """The Python versions that are neither installed nor to be had by uv, with uv's reason."""
    missing = {}
    for version in sorted(set(versions)):
        for attempt in (["find", "--no-project"], ["install"]):
            command = [find_uv_bin(), "python", *attempt, version]
            environ = {**os.environ, **tooling.UNWRAPPED}
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
        else:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            missing[version] = re.sub(r"https?://\S+", "the download site", lines[-1]) if lines else ""
            if _UNREACHABLE.search(done.stderr):
                missing[version] = f"the download site could not be reached: {missing[version]}"
    return missing


def require_pythons(wanted: dict[str, str]) -> None:
    """Say before anything is built which combinations have no Python; `wanted` is combination to version.

    Raises `UsageError`, or `IndexUnreachableError` where the network alone stands between.
    """
    missing = missing_pythons(wanted.values())
    if not missing:
        return
    lines = [
        f"{name} needs Python {version}, which is neither installed nor to be had by uv ({missing[version]})."
        for name, version in wanted.items()
        if version in missing
    ]
    lines.append("Install it, put it on PATH, or leave that combination out. Nothing was built.")
    if all(reason.startswith("the download site could not be reached") for reason in missing.values()):
        raise IndexUnreachableError("\n".join(lines))
    raise UsageError("\n".join(lines))


INSTALLED = f"{OURS}installed.json"
"""The marker in an environment's folder, by which it counts as installed."""


def tox_name(name: str) -> str:
    """What tox calls the environment of a combination or an extended one; toxfile.py says the same."""
    return name.replace("+", "-")


def folder_of(root: Path, name: str) -> Path:
    """The folder of a tox environment."""
    if is_given(root, name):
        return given_folder(root, name) / "env"
    return root / ".tox" / tox_name(name)


def holding_folder(root: Path, name: str) -> Path:
    """The folder that whoever works on the environment `name` holds."""
    return root / ".harness" / "environments" / name


def last_used(root: Path, name: str) -> float:
    """When somebody last had the environment, in seconds since the epoch; 0 where nobody ever had it.

    The note of who has it is written to the folder that is held, and removed from it.
    """
    folder = holding_folder(root, name)
    return folder.stat().st_mtime if folder.is_dir() else 0.0


def python_of(root: Path, name: str) -> Path:
    """The interpreter of a tox environment."""
    return folder_of(root, name) / "bin" / "python"


def inspect(python: Path, *, pinned: bool, lock: Path | None = None) -> Inside:
    """Ask an interpreter what it is, and hold it against a lock.

    Raises `UsageError` where an ambient one does not answer, `EnvironmentChangedError` where a pinned one does not.
    """
    return told_by(python, inside_view.__file__, [str(lock)] if lock else [], kind=Inside, pinned=pinned)


def told_by(
    python: Path, script: str, arguments: Sequence[str], *, kind: type[T], pinned: bool, timeout_s: float = 120.0
) -> T:
    """What an interpreter tells that runs `script`, which needs nothing of ours: its last line of JSON, as a `kind`.

    Raises what `inspect` does.
    """
    command = [str(python), "-c", _RUN_INSIDE, script, *arguments]
    error = EnvironmentChangedError if pinned else UsageError
    try:
        done = subprocess.run(
            command,
            env=clean_environ(pinned=pinned),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=timeout_s,
        )
        # What it runs at its start may print, too.
        told = json.loads(done.stdout.splitlines()[-1])
        return TypeAdapter(kind).validate_python(told)
    except OSError as reason:
        msg = f"{_shown(python)} is no interpreter that can be started ({reason.strerror}). Name its `python` itself."
    except subprocess.TimeoutExpired:
        msg = f"{_shown(python)} did not answer within {timeout_s:g} s."
    except (IndexError, ValueError, ValidationError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        msg = f"{_shown(python)} is no Python that works ({normalise_paths(last)}). Name its `python` itself."
    raise error(msg)


def _shown(python: Path) -> str:
    return normalise_paths(str(python))


def check_ambient(root: Path, python: Path) -> Prepared:
    """An interpreter of the user's own: it must have what the bench needs, whatever else it has.

    Its packages are watched as an environment's are, but nobody reinstalls them. Raises `UsageError`.
    """
    del root
    inside = inspect(python, pinned=False)
    if inside.missing:
        reasons = "; ".join(dict.fromkeys(inside.missing.values()))
        msg = (
            f"{python} cannot run the bench: {reasons}. Install {', '.join(inside.missing)} beside its frameworks, "
            f"such as by `{python} -m pip install {' '.join(inside.missing)}`."
        )
        raise UsageError(msg)
    everywhere, folders = Path("/"), tuple(map(Path, inside.folders))
    return Prepared(
        name="ambient",
        python=python,
        python_version=inside.python,
        packages=inside.packages,
        folder=everywhere,
        snapshot=take(everywhere, folders) if folders else {},
        owners=owners(claims(everywhere, folders)),
        within=folders,
    )
