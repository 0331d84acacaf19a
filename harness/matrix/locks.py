"""Locks: the full transitive resolution of a combination, with hashes, made by uv and kept in git.

A set of pins without a solution leaves the resolver's reason in the lock's place, and that is a result too.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from harness.bench.environment import ANY_VERSION, pins_of
from harness.bench.errors import UsageError
from harness.bench.places import PACKAGE
from harness.matrix import tooling
from harness.matrix.combination import Combination, folder_of, given_folder, is_given, own_files, read
from harness.matrix.compiling import compile_pins, finished, index_strategy, nearest, preferences
from harness.matrix.credentials import refuse_credentials, without_credentials
from harness.matrix.resolving import AbsentError, Fact, kind_of

BENCH_REQUIREMENTS = Path("harness/bench/requirements.in")


@dataclass(frozen=True)
class Lock:
    """The lock of a combination. `reason` is the resolver's where there is no solution; then `path` holds it.

    `text` is the lock's without credentials: tables keep it.
    """

    path: Path
    text: str
    reason: str = ""

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the lock, or of the file that holds the reason."""
        content = self.path.read_bytes() if self.reason else self.text.encode()
        return hashlib.sha256(content).hexdigest()[:16]

    @property
    def kind(self) -> str:
        """What kind of reason it is, as a table's `error_type` has it; empty where there is a solution."""
        return kind_of(self.reason) if self.reason else ""


def bench_requirements(root: Path) -> Path:
    """The file of what the bench needs in every environment: a checkout's, relative to it, else the package's own."""
    return BENCH_REQUIREMENTS if (root / BENCH_REQUIREMENTS).is_file() else PACKAGE / "bench" / "requirements.in"


def lock_path(root: Path, name: str) -> Path:
    """Where the lock of a combination is: in the folder `locks` beside its own file."""
    if is_given(root, name):
        return given_folder(root, name) / "lock.txt"
    return folder_of(root, name) / "locks" / f"{name}.txt"


def reason_path(root: Path, name: str) -> Path:
    """Where the resolver's reason is, if the combination has no solution."""
    if is_given(root, name):
        return given_folder(root, name) / "lock.unresolvable"
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
        if stated != _stated(combination) and not is_given(root, name):
            msg = f"{combination.path} was edited since its lock was tried. Run `harness lock {name}`."
            raise UsageError(msg)
        return Lock(reason, "", why.strip())
    path = lock_path(root, name)
    if not path.exists():
        msg = f"{name} has no lock. Run `harness lock {name}`."
        raise UsageError(msg)
    text = path.read_text(encoding="utf-8")
    stale = _stale(combination, pins_of(text), text)
    if stale and not is_given(root, name):
        msg = f"matrices/locks/{name}.txt does not fit {combination.path}: {stale}. Run `harness lock {name}`."
        raise UsageError(msg)
    copy = copy_of(path, text)
    return Lock(copy if is_given(root, name) and copy.is_file() else path, without_credentials(text))


def stale_names(root: Path) -> list[str]:
    """The repository's own combinations and extended ones without a lock that fits, those that cannot be read too."""
    return [name for name in own_files(root) if not _fits(root, name)]


def _fits(root: Path, name: str) -> bool:
    try:
        read_lock(root, read(root, name))
    except UsageError:
        return False
    return True


def copy_of(path: Path, text: str) -> Path:
    """Where the lock `path` of requirements that were given is kept as it is now.

    It may grow for another run's models while this one installs from it.
    """
    return path.with_name(f"{path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}{path.suffix}")


def _stale(combination: Combination, pins: Mapping[str, str], text: str) -> str:
    """Why a lock is not this combination's, or nothing."""
    if f"--python-version {combination.python} " not in text:
        return f"it was not made for Python {combination.python}"
    for requirement in combination.requirements:
        python = {"python_version": combination.python, "python_full_version": f"{combination.python}.0"}
        if requirement.marker is not None and not requirement.marker.evaluate(python):
            continue
        locked = pins.get(canonicalize_name(requirement.name))
        fits = locked is not None and (bool(requirement.url) or locked == ANY_VERSION)
        if not fits and (locked is None or not requirement.specifier.contains(locked, prereleases=True)):
            return f"{without_credentials(str(requirement))} is asked for, and {locked or 'nothing'} is locked"
    return ""


def _stated(combination: Combination) -> str:
    """The combination in one line a requirement, to tell whether a recorded reason is still about it."""
    lines = [f"# python: {combination.python}", *(f"# {each}" for each in _asked(combination))]
    return "\n".join(lines)


def _asked(combination: Combination) -> list[str]:
    directs = (each.target for each in combination.directs)
    return [*map(str, combination.requirements), *directs, *map(str, combination.options)]


def lock(root: Path, combination: Combination, *, upgrade: bool = False) -> Lock:
    """Resolve a combination and write its lock, or the resolver's reason.

    Pins of an existing lock are kept where they still fit, unless `upgrade`. Without writing anything, this raises
    `UsageError` where the package index does not have what is asked for, or where what the bench itself needs would
    move a pin of the combination; and `IndexUnreachableError`, `DiskFullError`, `NotWritableError` or
    `ToolBrokenError` where uv could not work. `UsageError`, too, where an address has a password: locks are committed.
    """
    path, reason = lock_path(root, combination.name), reason_path(root, combination.name)
    if not path.is_relative_to(root):
        msg = (
            f"{combination.name} comes with the harness, and is locked. "
            f"`harness init --from {combination.name}` copies it, so that you can change it here."
        )
        raise UsageError(msg)
    refuse_credentials(_asked(combination), where=str(combination.path))
    options = ["--upgrade"] if upgrade else []
    options += [f"--index-strategy={index_strategy()}"] if combination.options else []
    with tooling.told_as_infrastructure(f"locking {combination.name}"), tempfile.TemporaryDirectory() as folder:
        alone, together = Path(folder, "alone.txt"), Path(folder, "together.txt")
        if path.exists():
            for preferred in (alone, together):
                preferred.write_text(preferences(path.read_text(encoding="utf-8")), encoding="utf-8")
        shown, doing = [f"--output-file={path.relative_to(root)}"], f"resolving {combination.path}"

        def compiled(sources: Sequence[Path], output: Path) -> Fact | None:
            named = [*shown, *(str(BENCH_REQUIREMENTS if each == bench else each) for each in sources)]
            return compile_pins(root, combination.python, sources, output, *options, shown=named, doing=doing)

        bench = bench_requirements(root)
        try:
            fact = compiled([combination.path], alone)
        except AbsentError as error:
            msg = f"{error}{nearest(root, combination.python, error.requirement)}"
            raise UsageError(msg) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        if fact is not None:
            write_whole(reason, f"{_stated(combination)}\n\n{fact.reason}\n".encode())
            path.unlink(missing_ok=True)
            return Lock(reason, "", fact.reason)
        fact = compiled([combination.path, bench], together)
        moved = "" if fact else _moved(pins_of(alone.read_text("utf-8")), pins_of(together.read_text("utf-8")))
        if fact or moved:
            msg = (
                f"{BENCH_REQUIREMENTS} does not fit beside {combination.name} without moving what is tested: "
                f"{moved or (fact.reason if fact else '')}. Loosen it, and lock again."
            )
            raise UsageError(msg)
        beside = root / combination.path.parent
        text = together.read_text("utf-8").replace(str(bench), str(BENCH_REQUIREMENTS))
        text = finished(text, root=root, path=path, options=combination.options, beside=beside)
        write_whole(path, text.encode())
        reason.unlink(missing_ok=True)
    return Lock(path, without_credentials(text))


def write_whole(path: Path, content: bytes) -> None:
    """Write beside and rename: a full disk must not leave half a lock."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _moved(alone: Mapping[str, str], together: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name} {version} becomes {together.get(name)}"
        for name, version in alone.items()
        if together.get(name) != version
    )
