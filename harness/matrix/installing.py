"""Prepares environments: tox installs them from a lock, they are held against it, and what has changed is mended.

There are three ends. `Prepared`: the environment is whole and what its lock says. `FactOfPins`: these pins cannot be
installed, whoever tries. Everything else is infrastructure, and raised.

An environment counts as installed only by a marker in its folder that is written last, in one step, and holds the
digest of the lock and a snapshot of all files. One without it was interrupted, or installed by plain tox, and is
checked throughout first. Whoever changes an environment removes the marker before, so that nobody can mistake half a
mending for a whole environment.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.bench.environment import ANY_VERSION, pins_of
from harness.bench.errors import EnvironmentChangedError, ToolBrokenError, UsageError
from harness.bench.group import end_leftovers
from harness.bench.hold import hold
from harness.bench.record import write_json
from harness.bench.stages import Outcome, Stage
from harness.matrix import tooling, wholeness
from harness.matrix.compiling import INDEX_STRATEGY, index_strategy
from harness.matrix.environment import (
    INSTALLED,
    FactOfPins,
    Inside,
    Prepared,
    clean_environ,
    folder_of,
    holding_folder,
    inspect,
    python_of,
)
from harness.matrix.evicting import Room, room_for
from harness.matrix.locks import Lock
from harness.matrix.private import make_private
from harness.matrix.reinstalling import Reinstaller
from harness.matrix.resolving import understand
from harness.matrix.wholeness import Change, Seen, listed

CHANGES = "changes.json"
"""When it was not whole, beside who holds it: a run that goes on takes back what ran then."""

_MOST_KEPT = 50

TOX_INI = Path(__file__).with_name("tox") / "tox.ini"
"""What tox is told, in whatever repository."""

_SIGNALLED = 128
# As tox tells that uv was ended by a signal.
_KILLED = re.compile(r": exit -\d+ \(")

Tell = Callable[[str], None]


@contextmanager
def holding(root: Path, name: str, note: Tell) -> Iterator[None]:
    """Have the environment `name` until the end of the context; while somebody else has it, say so and wait."""
    with (
        tooling.told_as_infrastructure(f"preparing {name}"),
        hold(holding_folder(root, name), f"the environment {name}", note),
    ):
        yield


def prepare_environment(
    root: Path, name: str, lock: Lock, *, log: Path, note: Tell, busy: Tell, room: Room | None = None
) -> Prepared | FactOfPins:
    """Have the environment `name`, which the caller holds, ready: or the fact of the pins that stands against it.

    What tox and uv print goes to `log`. `note` is told what a person should know, `busy` what takes time. Where it has
    to be installed and there is less than `room`, others go first.

    Raises `IndexUnreachableError`, `DiskFullError`, `NotWritableError`, `ToolBrokenError`, `EnvironmentChangedError`
    (not even reinstalling helped), and `UsageError` where the lock asks for what the package index does not have.
    """
    if lock.reason:
        return FactOfPins(outcome=Outcome.UNRESOLVABLE, stage=Stage.RESOLVE, error_type=lock.kind, reason=lock.reason)
    work = _Work(root=root, name=name, lock=lock, log=log, note=note, busy=busy, room=room or Room())
    with tooling.told_as_infrastructure(f"preparing {name}"):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        if end_leftovers(str(work.folder)):
            note(f"{name}: ended what an interrupted installation had left running")
        return work.prepare()


def unwhole(root: Path, name: str) -> list[tuple[float, float]]:
    """When the environment `name` was not what had been installed, in seconds since the epoch: from and until.

    Until infinity where it still is not; from 0 where nobody knows since when.
    """
    try:
        told = json.loads((holding_folder(root, name) / CHANGES).read_text(encoding="utf-8"))
        return [(float(first), float("inf") if until is None else float(until)) for first, until in told]
    except (OSError, ValueError, TypeError):
        return []


def installed(root: Path, name: str, lock: Lock) -> Installed | None:
    """The environment `name` as it was when it was installed from `lock`; None where it was not, or from another.

    Nothing is changed, and nobody need hold it; its packages are not known.
    """

    def unheard(text: str) -> None:
        del text

    return _Work(root=root, name=name, lock=lock, log=Path(os.devnull), note=unheard, busy=unheard)._read_marker()


@dataclass(frozen=True, kw_only=True)
class Installed(Prepared):
    """An environment that tox installed from a lock."""

    work: _Work

    def mended(self, changes: Collection[Change], *, note: Tell) -> Installed:
        """Reinstall, once, the packages that changed, and remove what was added; the caller still holds it.

        Raises what `prepare_environment` does.
        """
        with tooling.told_as_infrastructure(f"mending {self.name}"):
            return replace(self.work, note=note).mend(self, changes)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is being done to one environment, by who holds it."""

    root: Path
    name: str
    lock: Lock
    log: Path
    note: Tell
    busy: Tell
    room: Room = field(default_factory=Room)

    @property
    def folder(self) -> Path:
        return folder_of(self.root, self.name)

    @property
    def python(self) -> Path:
        return python_of(self.root, self.name)

    @property
    def installed(self) -> Path:
        return self.folder / INSTALLED

    def prepare(self) -> Installed | FactOfPins:
        """The environment as it is, mended, or installed anew."""
        kept = self._read_marker()
        inside = self._inspect() if kept is not None else None
        if kept is None or inside is None:
            return self._install()
        prepared = replace(kept, packages=inside.packages, python_version=inside.python)
        changes = prepared.changes()
        if changes or inside.deviations:
            return replace(self.mend(prepared, changes), found=tuple(changes))
        self._require_bench(inside)
        return prepared

    def _inspect(self) -> Inside | None:
        """What the interpreter tells, or None where it does not work."""
        if not self.python.exists():
            return None
        try:
            return inspect(self.python, pinned=True, lock=self.lock.path)
        except EnvironmentChangedError:
            return None

    def _install(self, *, anew: bool = False) -> Installed | FactOfPins:
        """Let tox install the environment, for which others may have to go."""
        with room_for(self.root, self.folder, self.name, self.room, note=self.note):
            return self._by_tox(anew=anew)

    def _by_tox(self, *, anew: bool) -> Installed | FactOfPins:
        """Let tox install the environment, and hold it against its lock and its RECORDs."""
        self.busy(f"{self.name}: installing through tox")
        was_there = self.folder.exists()
        if was_there:
            self._remember(0.0)  # nobody knows since when it is not what was installed
        self.installed.unlink(missing_ok=True)
        begin = self.log.stat().st_size if self.log.exists() else 0
        command = [sys.executable, "-m", "tox", "run", "--notest", "--colored=no", "-c", str(TOX_INI), "-e"]
        command += [self.folder.name, f"--root={self.root}", f"--workdir={self.folder.parent}"]
        command += ["--recreate"] if anew else []
        environ = {**clean_environ(), "HARNESS_LOCK": str(self.lock.path), "HARNESS_ENVIRONMENT": self.folder.name}
        environ[INDEX_STRATEGY] = index_strategy()  # a lock's hashes say which file it is, whatever index has it
        # Who else asks for a package of theirs may do so in another way than the lock has it: not editable.
        placed = [name for name, version in pins_of(self.lock.text).items() if version == ANY_VERSION]
        environ |= {"UV_NO_SOURCES_PACKAGE": " ".join(placed)} if placed else {}
        code = tooling.run(command, cwd=self.root, environ=environ, log=self.log, marker=str(self.folder))
        if code != 0:
            said = tooling.read_from(self.log, begin)
            if code > _SIGNALLED or _KILLED.search(said):
                msg = f"installing {self.name}: tox or uv was killed."
                raise ToolBrokenError(msg)
            try:
                fact = understand(said, f"installing {self.name}")
            except ToolBrokenError:
                # An installation that was killed can leave what tox and uv do not know what to do with.
                if anew or not was_there:
                    raise
                self.note(f"{self.name}: what an earlier installation left is of no use; installing anew")
                return self._by_tox(anew=True)
            return FactOfPins(outcome=Outcome.FAILED, stage=Stage.INSTALL, error_type=fact.kind, reason=fact.reason)
        inside = self._inspect()
        if inside is None:
            if anew:
                msg = f"{self.name}: its interpreter does not start, although tox says that it is installed."
                raise ToolBrokenError(msg)
            self.note(f"{self.name}: its interpreter does not start; installing anew")
            return self._by_tox(anew=True)
        return self._complete(inside)

    def _complete(self, inside: Inside) -> Installed:
        """Mend what is not whole, break the links into uv's cache, and only then say that it is installed."""
        self.busy(f"{self.name}: checking every file")
        wrong = self._wrong(inside)
        if wrong:
            self.note(f"{self.name}: not whole, reinstalling {listed(sorted(wrong))} ({listed(wrong.values())})")
            self._reinstaller().reinstall(wrong)
            inside = self._inspect() or inside
            if wrong := self._wrong(inside):
                raise EnvironmentChangedError(self._beyond_help(wrong.values()))
        self._require_bench(inside)
        make_private(self.folder)
        taken = wholeness.take(self.folder)
        claimed = wholeness.claims(self.folder, wholeness.sites(self.folder))
        prepared = Installed(
            name=self.name,
            python=self.python,
            python_version=inside.python,
            packages=inside.packages,
            folder=self.folder,
            snapshot=taken,
            owners=wholeness.owners(claimed),
            work=self,
        )
        self._write_marker(prepared)
        self._remember(None)
        return prepared

    def _remember(self, first: float | None) -> None:
        """Keep since when the environment is not whole; with None, that it is whole again."""
        kept: list[list[float | None]] = [
            [start, None if until == float("inf") else until] for start, until in unwhole(self.root, self.name)
        ]
        if first is None:
            kept = [[start, time.time() if until is None else until] for start, until in kept]
        else:
            kept.append([first, None])
        write_json(holding_folder(self.root, self.name) / CHANGES, kept[-_MOST_KEPT:])

    def _wrong(self, inside: Inside) -> dict[str, str]:
        """Packages that are not as the lock and their RECORDs say, each with what is wrong."""
        claimed = wholeness.claims(self.folder, wholeness.sites(self.folder))
        files = wholeness.broken(self.folder, claimed)
        found = {package: f"{len(paths)} files of {package} missing or cut" for package, paths in files.items()}
        return {**found, **inside.deviations}

    def _require_bench(self, inside: Inside) -> None:
        if inside.missing:
            msg = (
                f"the lock of {self.name} lacks what the bench needs: {'; '.join(inside.missing.values())}. "
                f"Run `harness lock {self.name}`."
            )
            raise UsageError(msg)

    def mend(self, prepared: Prepared, changes: Collection[Change]) -> Installed:
        """Undo changes, saying so, once."""
        self._remember(min((change.changed for change in changes), default=0.0))
        self.installed.unlink(missing_ok=True)
        added = [change for change in changes if change.what == "added"]
        other = [change for change in changes if change.what != "added"]
        packages = sorted({change.package for change in other if change.package})
        if any(not change.package for change in other):
            told = listed(change for change in other if not change.package)
            self.note(f"{self.name}: {told} since it was installed; installing anew")
            again = self._install(anew=True)
            if isinstance(again, FactOfPins):
                msg = f"{self.name}: what was installed before cannot be installed again ({again.reason})."
                raise EnvironmentChangedError(msg)
            return again
        if added:
            self.note(f"{self.name}: removing what was added since it was installed: {listed(c.path for c in added)}")
            self._remove(added)
        if packages:
            self.note(f"{self.name}: reinstalling {listed(packages)}, changed since it was installed: {listed(other)}")
            self._drop_bytecode(other)
            self._reinstaller().reinstall(packages)
        inside = self._inspect()
        if inside is None:
            raise EnvironmentChangedError(self._beyond_help(changes))
        mended = self._complete(inside)
        # What was there before is there again, at the same size at least: `_complete` has seen to the rest.
        if lost := sorted(set(prepared.snapshot) - set(mended.snapshot)):
            self.installed.unlink(missing_ok=True)
            raise EnvironmentChangedError(self._beyond_help(lost))
        return mended

    def _remove(self, added: Iterable[Change]) -> None:
        for change in added:
            path = self.folder / change.path
            path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent == self.folder or any(entry.name != "__pycache__" for entry in parent.iterdir()):
                    break
                shutil.rmtree(parent)

    def _drop_bytecode(self, changes: Iterable[Change]) -> None:
        """Bytecode of an edited file would stand for the old one where size and time are equal."""
        for change in changes:
            path = self.folder / change.path
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
                compiled.unlink(missing_ok=True)

    def _reinstaller(self) -> Reinstaller:
        # As it lies there: what tables keep has no credentials.
        lock = self.lock.path.read_text(encoding="utf-8")
        return Reinstaller(root=self.root, folder=self.folder, lock=lock, log=self.log)

    def _beyond_help(self, wrong: Iterable[object]) -> str:
        return (
            f"{self.name} is not what its lock says, and reinstalling did not mend it: {listed(wrong)}. "
            "Remove its folder, and run the same command again: it is installed anew."
        )

    def _write_marker(self, prepared: Prepared) -> None:
        packages = sorted(set(prepared.owners.values()))
        number = {package: index for index, package in enumerate(packages)}
        files = {
            path: [*seen, number.get(prepared.owners.get(path, ""), -1)] for path, seen in prepared.snapshot.items()
        }
        told = {"lock": self.lock.digest, "folder": str(self.folder), "packages": packages, "files": files}
        # Written last and in one step: it is what says that all before it was done.
        partial = self.installed.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(json.dumps(told, separators=(",", ":")))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.installed)

    def _read_marker(self) -> Installed | None:
        """The environment as it was when it was installed from this lock, in this place; None where it was not."""
        try:
            told = json.loads(self.installed.read_text(encoding="utf-8"))
            if (told["lock"], told["folder"]) != (self.lock.digest, str(self.folder)):
                return None
            packages, files = told["packages"], told["files"]
            return Installed(
                name=self.name,
                python=self.python,
                python_version="",
                packages={},
                folder=self.folder,
                snapshot={path: Seen(*entry[:3]) for path, entry in files.items()},
                owners={path: packages[entry[3]] for path, entry in files.items() if entry[3] >= 0},
                work=self,
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None
