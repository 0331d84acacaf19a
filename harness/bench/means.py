"""What the cells of a plan are run by, and how one of them ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.bench.builds import Builds
from harness.bench.children import Children
from harness.bench.failure import Failure
from harness.bench.gpu_use import ExclusiveGpu
from harness.bench.plan import Plan
from harness.bench.registry import Registry


class Stopped(Exception):  # noqa: N818 - it is the end of a cell, and no error of ours
    """A cell came no further; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


@dataclass(frozen=True)
class Means:
    """What the cells of a plan are run by; in `given` lie artifacts that need not be converted again."""

    plan: Plan
    registry: Registry
    children: Children
    builds: Builds
    gpu: ExclusiveGpu = field(default_factory=ExclusiveGpu)
    given: Path | None = None
