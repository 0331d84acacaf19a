"""What has a say in the cells of a task, gathered from where it lies: see `harness.tables.ingredients`."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.attempts.tasks import Task
from harness.bench import inventory
from harness.bench.identity import bench_digest
from harness.bench.places import CODE
from harness.bench.plan import split
from harness.bench.processes import child_environ
from harness.bench.reads import content_of, named_in
from harness.bench.registry import Entry, Registry
from harness.matrix.environment import Prepared, clean_environ, told_by
from harness.matrix.places import own_folder
from harness.matrix.variables import OF_FRAMEWORKS, PASS, any_of
from harness.tables.ingredients import Ingredients, short

READ_BY_FRAMEWORKS = f"{OF_FRAMEWORKS} AOT* CUBLAS* DNNL_* GOTO_* LD_* MPS_* ONEDNN_* ORT* PYTHON*"
"""Patterns of the names of environment variables that frameworks, and the libraries below them, read."""

_CREDENTIAL = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|CREDENTIAL|KEY)S?(?:_|$)", re.IGNORECASE)
_PLAIN = re.compile(r"[\w.,:=+-]{0,40}")

_LONGEST_S = 900.0
"""How long reading all packages of an environment may take that the harness has not installed: once, from a disk."""


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
            **inventory_of(root, prepared, pinned=task.interpreter is None),
            "device": device_items(plan.device, inside),
            "variables": variables(plan.device, clean_environ(pinned=bool(plan.lock))),
            "bench": {"bench": bench_digest()},
            "policy": {**{name: str(value) for name, value in policy.items()}, "fresh": str(fresh)},
            "threads": {"threads": threads},
        },
        models={name: entry_digest(registry.models[name]) for name in models},
        strategies={name: strategy_digest(registry, name) for name in strategies},
    )


def inventory_of(root: Path, prepared: Prepared, *, pinned: bool) -> dict[str, dict[str, str]]:
    """What the environment is made of, as its interpreter tells now: see `harness.bench.inventory`."""
    asked = {} if pinned else {"whole": True, "kept": str(own_folder(root) / "contents.json"), "leave_out": [str(CODE)]}
    return told_by(
        prepared.python,
        inventory.__file__,
        [json.dumps(asked)],
        kind=dict[str, dict[str, str]],
        pinned=pinned,
        timeout_s=_LONGEST_S,
    )


def device_items(device: str, inside: Mapping[str, Any]) -> dict[str, str]:
    """The device that cells are served on; of a GPU its name and its driver."""
    if device == "cpu":
        return {"device": device}
    gpu = inside.get("gpu") or {}
    return {"device": device, "gpu": str(gpu.get("name", "")), "driver": str(inside.get("driver") or "")}


def variables(device: str, around: Mapping[str, str]) -> dict[str, str]:
    """The variables that frameworks read, as a cell's processes have them, where those `around` are the bench's.

    Those that a user had passed on count too. Those that are made of the policy's threads are as for one: threads are a
    part of their own. What has been given for credentials is left out, and no value that may say more than a setting is
    told in plain: this is published with the table.
    """
    environ = child_environ(device, 1, base=around)
    read, passed = any_of(READ_BY_FRAMEWORKS), any_of(around.get(PASS, ""))
    return {
        name: value if read.fullmatch(name) and _PLAIN.fullmatch(value) else short(value)
        for name, value in sorted(environ.items())
        if (read.fullmatch(name) or passed.fullmatch(name)) and not _CREDENTIAL.search(name)
    }


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
    return (("code", CODE.resolve()), ("root", root.resolve()), ("home", Path("~").expanduser().resolve()))
