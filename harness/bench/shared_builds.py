"""What builds left, shared by the benches of one run on one machine: what one has built, the others take.

A bench has a copy of its own, since what a cell may spoil is spoilt for its own bench alone; what is taken is held
against the digests of its build (`harness.bench.builds.Built.edited`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.bench.disk import remove_tree
from harness.bench.plan import file_stem_of
from harness.bench.record import write_json

_TOLD = "told.json"
"""Beside what a build left: what its process told."""


class SharedBuilds:
    """The builds below `folder`, which is made; one that failed is nobody's but the bench's that had it fail."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def alone(self, model: str) -> Iterator[None]:
        """Until the end of the context no other bench builds the model: it waits, and then takes what is built.

        Once a build of it has failed all may build it, since there is nothing to wait for.
        """
        import filelock

        self._folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self._folder / f"{file_stem_of(model)}.lock")
        lock.acquire()
        try:
            if self._failed(model).exists():
                lock.release()
            yield
        finally:
            lock.release()

    def _failed(self, model: str) -> Path:
        return self._folder / f"{file_stem_of(model)}.failed"

    def fail(self, model: str) -> None:
        """Have others know that a build of the model has failed."""
        with contextlib.suppress(OSError):
            self._failed(model).touch()

    def take(self, model: str, into: Path) -> Mapping[str, Any] | None:
        """Copy what another bench's build of a model left, and return what it told; None where there is none."""
        source = self._folder / file_stem_of(model)
        try:
            told: Mapping[str, Any] = json.loads((source / _TOLD).read_text(encoding="utf-8"))
            shutil.copytree(source, into, symlinks=True, ignore=shutil.ignore_patterns(_TOLD), dirs_exist_ok=True)
        except (OSError, ValueError):
            return None
        return told

    def give(self, model: str, left: Path, told: Mapping[str, Any]) -> None:
        """Have others take what the build of a model `left`; it is there as a whole or, on a full disk, not at all."""
        target = self._folder / file_stem_of(model)
        part = target.with_name(f"{target.name}.part")
        remove_tree(part)
        remove_tree(target)
        try:
            shutil.copytree(left, part, symlinks=True)
            write_json(part / _TOLD, told)
            part.rename(target)
        except OSError:
            remove_tree(part)
