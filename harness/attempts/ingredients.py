"""What has a say in the cells of a task, gathered from where it lies: see `harness.tables.ingredients`."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.attempts.tasks import Task
from harness.bench.identity import bench_digest
from harness.bench.inventory import short
from harness.bench.places import CODE
from harness.bench.plan import split
from harness.bench.reads import content_of, named_in
from harness.bench.registry import Entry, Registry
from harness.matrix.environment import Prepared
from harness.matrix.places import home, own_folder
from harness.matrix.surroundings import surroundings_of
from harness.tables.ingredients import Ingredients


def gather(root: Path, task: Task, prepared: Prepared, inside: Mapping[str, Any], *, fresh: bool) -> Ingredients:
    """What has a say in the cells of `task` in an environment that is ready; what cells read is not known yet.

    `inside` is what the attempt is told of machine and environment. Raises what `harness.matrix.environment.inspect`
    does where the interpreter does not answer.
    """
    plan, registry = task.plan, task.plan.registry()
    models = dict.fromkeys(cell.model for cell in plan.cells)
    strategies = dict.fromkeys(split(cell.strategy)[0] for cell in plan.cells)
    policy = asdict(plan.policy)
    threads = str(policy.pop("threads"))
    return Ingredients(
        shared={
            **surroundings_of(
                prepared.python,
                device=plan.device,
                inside=inside,
                pinned=task.interpreter is None,
                kept=own_folder(root) / "contents.json",
                root=root,
            ),
            "bench": {"bench": bench_digest()},
            "policy": {**{name: str(value) for name, value in policy.items()}, "fresh": str(fresh)},
            "threads": {"threads": threads},
        },
        models={name: entry_digest(registry.models[name]) for name in models},
        strategies={name: strategy_digest(registry, name) for name in strategies},
    )


def entry_digest(entry: Entry[Any]) -> str:
    """Digest of a file that declares something, of what it imports beside it, and of the data that these name."""
    files = entry.files
    named = named_in(files)
    return short([[path.name, _content(*_stamp(path))] for path in (*files, *named)])


def strategy_digest(registry: Registry, name: str) -> str:
    """The same of a strategy, its steps and its runtime."""
    strategy = registry.strategies[name]
    entries: list[Entry[Any]] = [strategy]
    if strategy.value is not None:
        entries += [registry.steps[step] for step in strategy.value.steps if step in registry.steps]
        entries += [registry.runtimes[each] for each in (strategy.value.runtime,) if each in registry.runtimes]
    return short([entry_digest(entry) for entry in entries])


def as_now(paths: Iterable[Path]) -> list[str]:
    """The content of each path as it is now, in their order; each file is read once in a command."""
    return [_content(*_stamp(path)) for path in paths]


@functools.lru_cache(maxsize=65536)
def _content(path: Path, _stamp: tuple[int, ...]) -> str:
    return content_of(path)


def _stamp(path: Path) -> tuple[Path, tuple[int, ...]]:
    try:
        status = path.stat()
    except OSError:
        return path, ()
    return path, (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


@functools.lru_cache(maxsize=8)
def places(root: Path) -> Sequence[tuple[str, Path]]:
    """Folders that are elsewhere on another machine: the harness's own code with its zoo, the repository, the home."""
    own = home()
    return (("code", CODE.resolve()), ("root", root.resolve()), *([("home", own)] if own else []))
