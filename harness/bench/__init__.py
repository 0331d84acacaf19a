"""The bench: runs cells inside one pinned environment, plan in, records out.

It is a pytest plugin (``python -m pytest -p harness.bench --out DIR``) and needs
nothing but pytest and pytest-benchmark beside the frameworks it tests. Files that describe a model, a step, a
strategy or a runtime import what they need from here.
"""

from harness.bench.bits import integers, uniform
from harness.bench.definitions import (
    Artifact,
    Inputs,
    Model,
    ModuleBuilder,
    NotApplicable,
    Runtime,
    Servable,
    State,
    Step,
    StepContext,
    Strategy,
)

__all__ = [
    "Artifact",
    "Inputs",
    "Model",
    "ModuleBuilder",
    "NotApplicable",
    "Runtime",
    "Servable",
    "State",
    "Step",
    "StepContext",
    "Strategy",
    "integers",
    "uniform",
]

# pytest registers these when it is started with `-p harness.bench`.
pytest_plugins = ["harness.bench.plugin", "harness.bench.asked", "harness.bench.telling"]
