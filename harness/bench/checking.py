"""Builds the models of a plan and tells what was seen, without converting anything: what `harness check` asks for.

``launch.py checking FOLDER`` reads ``FOLDER/plan.json``, works in ``FOLDER/scratch`` and leaves
``FOLDER/checked.json``: by model `seconds`, and either `failure` (a line for whoever wrote the file), `wrong` (whether
it is the file's, or nothing can be told here) and `reason`, or `inputs`, `outputs` (path to type and shape), `probes`,
`derived`, `dropped_probes`, `dynamic` and `parameters`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.bench import tensors
from harness.bench.builds import Builds, Built
from harness.bench.children import Children
from harness.bench.failure import not_installed
from harness.bench.group import become_subreaper, end_leftovers
from harness.bench.plan import Plan, imports_of
from harness.bench.record import write_json
from harness.bench.registry import Entry
from harness.bench.signals import raise_on_termination
from harness.bench.stages import Outcome
from harness.bench.text import one_line

PLAN_FILE = "plan.json"
CHECKED_FILE = "checked.json"


def main(folder: Path) -> None:
    """Build every model of the plan in `folder`."""
    plan = Plan.from_json(json.loads((folder / PLAN_FILE).read_text(encoding="utf-8")))
    registry = plan.registry()
    scratch = folder / "scratch"
    scratch.mkdir()
    with contextlib.ExitStack() as context:
        context.enter_context(raise_on_termination())
        become_subreaper()
        children = Children(scratch, plan.policy, plan.device, marker=str(folder), fresh=False)
        context.callback(end_leftovers, str(folder))
        context.callback(children.close)
        builds = Builds(plan, registry, children, scratch / "built")
        names = dict.fromkeys(cell.model for cell in plan.cells)
        write_json(
            folder / CHECKED_FILE,
            {
                name: _seen(registry.models[name], builds.built(name), imports_of(registry, None, [name]))
                for name in names
            },
        )


def _seen(entry: Entry[Any], built: Built, declared: Sequence[str]) -> Mapping[str, Any]:
    """What was seen of one model, whose file and the bench import what is `declared`.

    A file is wrong where its build failed. What is not installed, or came to no end, tells nothing of the file.
    """
    seconds = sum(built.seconds.values())
    if built.failure is not None:
        failure = not_installed(built.failure, declared, pinned=False)
        wrong = failure.outcome is Outcome.FAILED
        return {
            "seconds": seconds,
            "failure": failure.told_of(entry.path),
            "wrong": wrong,
            "reason": one_line(failure.error),
        }
    facts = built.facts
    inputs = tensors.load(built.folder / "inputs-0.npz")
    outputs = tensors.load(built.folder / "native-0.npz")
    return {
        "seconds": seconds,
        "inputs": {name: _shown(array) for name, array in zip(facts["binding"]["paths"], inputs, strict=True)},
        "outputs": {name: _shown(array) for name, array in zip(facts["paths"][0], outputs, strict=True)},
        "probes": facts["names"][1:],
        "derived": bool(facts["derived"]),
        "dropped_probes": facts["dropped_probes"],
        "dynamic": facts["dynamic"],
        "parameters": facts["parameters"],
    }


def _shown(array: Any) -> str:
    """`float32[2, 16]`."""
    return f"{array.dtype}{list(array.shape)}"
