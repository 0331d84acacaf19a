"""Sides of a duel without any framework: a stand-in for torch, and a runtime of the test's own, faster or slower."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.attempts.tasks import Task
from harness.bench.builds import Built
from harness.bench.plan import Plan, Policy, expand
from harness.bench.registry import discover
from harness.bench.waiting import Waiting
from harness.cli.clustering import HERE, Elsewhere
from harness.duel.contesting import Duel, Rules, alone, contest
from harness.duel.preparing import SIDES, ReadyCell, prepare
from tests.attempts.conftest import Observer

MODEL = """
from harness.bench import Model, uniform


def build():
    import torch

    return torch.nn.Linear(64, 64)


MODEL = Model(
    summary="a linear layer",
    family="test",
    build=build,
    example=lambda: {"x": uniform((64, 64), seed="example")},
    probes={"other": lambda: {"x": uniform((64, 64), seed="other")}},
    dynamic={},
)
"""

STEP = """
from harness.bench import Artifact, Step


def run(context, source):
    import numpy as np

    path = context.folder / "weight.npy"
    np.save(path, context.state()["weight"])
    return Artifact("array", path)


STEP = Step(summary="keeps the weight", run=run, produces="array")
"""

STRATEGY = """
from harness.bench import Strategy

STRATEGY = Strategy(summary="", steps=("saved",), runtime="NAME", shapes="static")
"""

RUNTIME = """
import os, time
from harness.bench import Runtime


class Session:
    provider = "numpy"

    def __init__(self, weight):
        self.weight = weight
        self.calls = 0

    def prepare(self, inputs):
        def call():
            self.calls += 1
            began = time.perf_counter()
            y = inputs["x"] @ self.weight.T
            BODY
            return y

        return call

    def outputs(self, result):
        return [result]


def load(artifact, device, threads, build):
    import numpy as np

    return Session(np.load(artifact.path))


RUNTIME = Runtime(summary="numpy", serves="array", load=load, imports=("numpy",))
"""

BUSY = "until = began + 300e-6\n            while time.perf_counter() < until: pass"
"""A call of 300 microseconds that the processor's caches have no say in."""


def slowed(share: float) -> str:
    """The same, slower by a share."""
    return BUSY.replace("300e-6", f"{300e-6 * (1 + share)}")


def task_of(folder: Path, python: Path, name: str, bodies: Mapping[str, str]) -> Task:
    """What runs a model by a strategy a runtime, whose calls do what `bodies` say; files lie below `folder`."""
    plugins = folder / f"plugins-{name}"
    (folder / "linear.py").write_text(MODEL, encoding="utf-8")
    for part in ("steps", "strategies", "runtimes"):
        (plugins / part).mkdir(parents=True, exist_ok=True)
    (plugins / "steps" / "saved.py").write_text(STEP, encoding="utf-8")
    for each, body in bodies.items():
        (plugins / "runtimes" / f"{each}.py").write_text(RUNTIME.replace("BODY", body), encoding="utf-8")
        (plugins / "strategies" / f"by_{each}.py").write_text(STRATEGY.replace("NAME", each), encoding="utf-8")
    files = [folder / "linear.py"]
    registry = discover(models=files, plugins=[plugins])
    strategies = [f"by-{each}" for each in bodies]
    plan = Plan(
        combination=name,
        device="cpu",
        tier="quick",
        cells=expand(registry, combination=name, device="cpu", tier="quick", strategies=strategies),
        models=tuple(map(str, files)),
        plugins=(str(plugins),),
        policy=Policy(timeout_s=30.0, memory_limit_mb=1000, measure_s=0.05),
        selected=True,
    )
    return Task(plan=plan, interpreter=python)


def ready(root: Path, name: str) -> ReadyCell:
    """A cell of the combination `name`, whose interpreter has gone."""
    plan = task_of(root, root / "gone" / name, name, {"same": BUSY}).plan
    return ReadyCell(
        cell=plan.cells[0],
        python=root / "gone" / name,
        plan=plan,
        registry=plan.registry(),
        built=Built(root, {"inputs": ["x"]}),
        waiting=Waiting(
            columns={"tolerance": 1e-4}, details={}, artifact={"kind": "array", "path": ""}, converted=None
        ),
    )


def fight(root: Path, tasks: Sequence[Task], rules: Rules, observer: Observer, *, elsewhere: Elsewhere = HERE) -> Duel:
    """A whole duel of two tasks, as the command does it."""
    with alone(root, observer.note), contextlib.ExitStack() as holds:
        a, b = (
            prepare(root, [task], observer, holds, side=side, executor_of=elsewhere.executor_of)
            for task, side in zip(tasks, SIDES, strict=True)
        )
        keys = [key for key in a.cells if key in b.cells]
        duel = contest(root, (a, b), keys, rules=rules, tell=observer.note, busy=observer.busy, ground=elsewhere.ground)
        for side in (a, b) if not duel.cut else ():
            side.let_go(duel.folder)
        return duel
