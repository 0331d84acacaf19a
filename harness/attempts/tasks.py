"""What is to be executed where: a plan, and the environment that it gets."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.attempts.observing import Observer
from harness.bench.environment import description
from harness.bench.plan import Plan
from harness.bench.stages import Outcome, Stage
from harness.matrix.combination import Combination, extended
from harness.matrix.environment import FactOfPins, Prepared, check_ambient
from harness.matrix.evicting import Room
from harness.matrix.installing import holding, prepare_environment
from harness.matrix.locks import Lock
from harness.matrix.places import own_folder


@dataclass(frozen=True, kw_only=True)
class Task:
    """A plan, and where it is executed: in the environment of a lock, or in an interpreter that is there already.

    Without a combination there is no such extension, and its cells cannot exist. `needed` are the names of other
    environments that have to stay, since whoever executes this goes on in them.
    """

    plan: Plan
    combination: Combination | None = None
    lock: Lock | None = None
    interpreter: Path | None = None
    needed: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of the environment: `torch2.0`, or `torch2.0+tools`."""
        return extended(self.plan.combination, self.plan.extension)

    @property
    def pins(self) -> Mapping[str, str]:
        """What the combination pins directly."""
        return self.combination.pins if self.combination else {}


def prepare(
    root: Path, task: Task, observer: Observer, context: contextlib.ExitStack, *, held: bool = False
) -> Prepared | FactOfPins:
    """The environment of `task`, held until `context` is closed, or why its pins cannot be had.

    With `held` the caller holds it already. Raises `InfrastructureError` where neither can be told.
    """
    if task.interpreter is not None:
        prepared = check_ambient(root, task.interpreter)
        own_folder(root)
        return prepared
    own_folder(root)
    if task.combination is None or task.lock is None:
        reason = (
            f"{task.plan.combination} has no extension {task.plan.extension!r}; add matrices/{task.name}.in and lock it"
        )
        return FactOfPins(
            outcome=Outcome.NOT_APPLICABLE, stage=Stage.RESOLVE, error_type="NotApplicable", reason=reason
        )
    if not held:
        context.enter_context(holding(root, task.name, observer.note))
    observer.busy(f"{task.name}: preparing the environment")
    log = root / ".harness" / "logs" / f"{task.name}-install.log"
    room = Room(enough=task.plan.keeping.free_mb * 2**20, needed=task.needed)
    return prepare_environment(root, task.name, task.lock, log=log, note=observer.note, busy=observer.busy, room=room)


def inside_of(prepared: Prepared | FactOfPins) -> dict[str, Any]:
    """What an attempt is told of where it runs; of an environment that cannot be had, the machine alone."""
    if isinstance(prepared, FactOfPins):
        return {**description(), "packages": {}, "python": ""}
    return {**description(), "packages": dict(prepared.packages), "python": prepared.python_version}
