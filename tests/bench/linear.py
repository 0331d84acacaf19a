"""A linear layer, and the steps, strategies and runtime of a test's own, for tests that run cells of a stand-in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.bench.cell import Cells
from harness.bench.plan import Plan, Policy, expand
from harness.bench.registry import discover

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("stand_in")

MODEL = """
from harness.bench import Model, uniform


def build():
    import torch

    return torch.nn.Linear(8, 4)


MODEL = Model(
    summary="a linear layer",
    family="test",
    build=build,
    example=lambda: {"x": uniform((2, 8), seed="example")},
    probes={
        "other values": lambda: {"x": uniform((2, 8), seed="other")},
        "more rows": lambda: {"x": uniform((3, 8), seed="rows")},
    },
    dynamic={"x": {0: "batch"}},
)
"""

STEP = """
from harness.bench import Artifact, NotApplicable, Step


def run(context, source):
    import os, sys, time
    import numpy as np

    weight = context.state()["weight"]
    path = context.folder / "weight.npy"
    facts = {{}}
    {body}
    np.save(path, weight)
    return Artifact("array", path, facts)


STEP = Step(summary="keeps the weight", run=run, produces="array", imports={imports})
"""

STRATEGY = """
from harness.bench import Strategy

STRATEGY = Strategy(summary="of the test", steps=({name!r},), runtime={runtime!r}, shapes={shapes!r})
"""

RUNTIME = """
from harness.bench import Runtime


class Session:
    provider = "numpy"

    def __init__(self, weight):
        self.weight = weight

    def prepare(self, inputs):
        return lambda: inputs["x"] @ self.weight.T

    def outputs(self, result):
        return [result]


def load(artifact, device, threads, build):
    import numpy as np

    return Session(np.load(artifact.path))


RUNTIME = Runtime(summary="numpy", serves="array", load=load, imports=("numpy",))
"""


def write(path: Path, text: str) -> None:
    """A file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def add_model(folder: Path) -> None:
    """The model's file, an empty lock, and the runtime `arrays` in the plugin folder."""
    write(folder / "linear.py", MODEL)
    write(folder / "lock.txt", "")
    write(folder / "plugins" / "runtimes" / "arrays.py", RUNTIME)


def add_strategy(
    folder: Path,
    name: str,
    body: str,
    *,
    imports: tuple[str, ...] = (),
    runtime: str = "arrays",
    shapes: str = "static",
) -> None:
    """A strategy in the plugin folder, and its step, which does `body`."""
    stem = name.replace("-", "_")
    write(folder / "plugins" / "steps" / f"{stem}.py", STEP.format(body=body, imports=imports))
    strategy = STRATEGY.format(name=name, runtime=runtime, shapes=shapes)
    write(folder / "plugins" / "strategies" / f"{stem}.py", strategy)


@contextlib.contextmanager
def importable(*folders: Path) -> Iterator[None]:
    """Have children import the stand-in for torch, and what lies in `folders`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", ":".join(map(str, (STAND_IN, *folders))))
        yield


def plan_of(folder: Path, *strategies: str, **values: Any) -> Plan:
    """The cells of the model by these strategies; `values` are what else the plan says."""
    registry = discover(models=[folder / "linear.py"], plugins=[folder / "plugins"])
    return Plan(
        combination="none",
        device="cpu",
        tier="quick",
        cells=expand(registry, combination="none", device="cpu", tier="quick", strategies=strategies),
        models=(str(folder / "linear.py"),),
        plugins=(str(folder / "plugins"),),
        lock=str(folder / "lock.txt"),
        policy=Policy(timeout_s=30.0, memory_limit_mb=1200, measure_s=0.01, threads=1),
        selected=True,
        **values,
    )


def cells_of(plan: Plan, scratch: Path, *, fresh: bool = False, waiting: Path | None = None) -> Cells:
    """What runs the cells of a plan, in folders below `scratch`."""
    waiting = waiting or scratch / "waiting"
    return Cells(plan, plan.registry(), scratch, marker=str(scratch), fresh=fresh, waiting=waiting)
