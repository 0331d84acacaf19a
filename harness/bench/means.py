"""What the cells of a plan are run by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.bench.builds import Builds
from harness.bench.children import Children
from harness.bench.gpu_use import ExclusiveGpu
from harness.bench.plan import Plan
from harness.bench.registry import Registry


@dataclass(frozen=True)
class Means:
    """What every cell shares; in `given` lie artifacts that need not be converted again."""

    plan: Plan
    registry: Registry
    children: Children
    builds: Builds
    gpu: ExclusiveGpu = field(default_factory=ExclusiveGpu)
    given: Path | None = None
