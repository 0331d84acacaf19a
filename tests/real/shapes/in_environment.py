"""Takes model files through strategies inside a pinned environment, in one process that forks: a script.

    python -m tests.real.shapes.in_environment FOLDER REPORT STRATEGY…

It does by the bench's own functions what cells do, without a process of its own for serving: forty shapes would take
minutes there. REPORT gets, as JSON, of each model what its native outputs are off by (`right` in its file), and of each
cell its outcome, stage and what was told.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.bench import Model, Runtime, tensors
from harness.bench.answers import hold_against
from harness.bench.binding import from_json
from harness.bench.building import build
from harness.bench.converting import convert
from harness.bench.definitions import Artifact
from harness.bench.match import tolerance_for
from harness.bench.progress import Progress, described, leave, read_trail
from harness.bench.registry import discover, load
from harness.bench.requests import BuildRequest, ConvertRequest

_WARM = {"jax": ("torchax.export", "jax.experimental.jax2tf")}
"""What a tool's step imports with its first call, seconds of it: in a fork it would be imported each time.

nobuco is not among them: importing it replaces functions of torch, signatures among them.
"""


def forked(folder: Path, job: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `job` returned in a fork of this process, or how it ended."""
    folder.mkdir(parents=True)
    report = folder / "report.json"
    child = os.fork()
    if not child:
        os.chdir(folder)
        try:
            with (folder / "log.txt").open("wb") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            result = job()
        except BaseException as error:  # noqa: BLE001 - it is what the table is of
            traceback.print_exc()
            stage = read_trail(folder).last
            result = {**described(error), **({"stage": stage.value} if stage else {})}
        report.write_text(json.dumps(result), encoding="utf-8")
        leave()
    _, status = os.waitpid(child, 0)
    if not report.exists():
        return {"outcome": "crashed", "stage": "", "error": f"ended with {status}"}
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def native(path: Path, folder: Path) -> dict[str, Any]:
    """Build a model and hold its native outputs against what its file says is right."""
    import numpy as np

    build(BuildRequest(folder=str(folder), model=path.stem, model_file=str(path)), Progress(folder))
    facts = json.loads((folder / "built.json").read_text(encoding="utf-8"))
    module = sys.modules[next(name for name in sys.modules if name.endswith(f"_{path.stem}") and "loaded" in name)]
    wrong = []
    model = module.MODEL
    for index, (name, make) in enumerate([("example", model.example), *model.probes.items()]):
        if not hasattr(module, "right"):
            break
        right = module.right(**make())
        outputs = dict(zip(facts["paths"][index], tensors.load(folder / f"native-{index}.npz"), strict=True))
        if list(outputs) != list(right):
            wrong.append(f"{name}: {list(outputs)} instead of {list(right)}")
        wrong += [f"{name}: {at}" for at in outputs if not np.allclose(outputs[at], right.get(at), rtol=1e-5)]
    return {"outcome": "built", "wrong": wrong, "paths": facts["paths"][0]}


def converted(path: Path, built: Path, folder: Path, steps: list[tuple[str, str]]) -> dict[str, Any]:
    """Run a strategy's steps."""
    request = ConvertRequest(
        folder=str(folder), model=path.stem, model_file=str(path), steps=tuple(steps), built=str(built)
    )
    convert(request, Progress(folder))
    return {**(read_trail(folder).result or {}), "outcome": "converted"}


def served(path: Path, built: Path, folder: Path, artifact: Artifact, runtime: Path) -> dict[str, Any]:
    """Serve an artifact on every input set, and hold what comes against the native outputs."""
    facts = json.loads((built / "built.json").read_text(encoding="utf-8"))
    declared = load(runtime, "RUNTIME", Runtime).declared
    model = load(path, "MODEL", Model).declared if declared.needs_module else None
    builder = tensors.ModuleBuilder(model, from_json(facts["binding"])) if model else None
    servable = declared.load(artifact, "cpu", 1, builder)
    sets = [i for i in range(len(facts["names"])) if facts["same_shape"][i] or artifact.kind != "saved-model"]
    for index in sets:
        arrays = tensors.load(built / f"inputs-{index}.npz")
        given = dict(zip(facts["inputs"], arrays, strict=True))
        tensors.save(folder / f"outputs-{index}.npz", servable.outputs(servable.prepare(given)()))
    tolerance = tolerance_for(facts["noise_relative"], own=facts["tolerance"])
    answers = hold_against(built, folder, facts, sets, tolerance, {}, own=model is not None)
    if answers.failure is None:
        return {"outcome": "passed", "stage": "measure", "error": "", "not_carried": answers.not_carried}
    return {
        "outcome": answers.failure.outcome.value,
        "stage": answers.failure.stage.value,
        "error": answers.failure.error,
    }


def cell(path: Path, built: Path, folder: Path, steps: list[tuple[str, str]], runtime: Path) -> dict[str, Any]:
    """Convert in one fork and serve in another, since some frameworks are set up once a process."""
    left = forked(folder / "convert", functools.partial(converted, path, built, folder / "convert", steps))
    if left["outcome"] != "converted":
        return left
    artifact = Artifact(left["kind"], Path(left["path"]))
    serve = folder / "serve"
    return {"stage": "execute", **forked(serve, functools.partial(served, path, built, serve, artifact, runtime))}


def _warm_export(strategies: Sequence[str]) -> None:
    """Let torch.export and the exporter above it import what they import with their first call."""
    import inspect

    import torch

    torch.set_num_threads(1)
    if "onnx-dynamo" in strategies and "dynamo" in inspect.signature(torch.onnx.export).parameters:
        torch.onnx.export(torch.nn.Identity(), (torch.zeros(1),), None, dynamo=True, verbose=False)
    elif "jax" in strategies:
        torch.export.export(torch.nn.Identity(), (torch.zeros(1),))


def main(folder: Path, report: Path, *strategies: str) -> None:
    """Every model file in `folder`, by every strategy."""
    registry = discover()
    routes = {name: registry.strategies[name].declared for name in strategies}
    steps = {n: [(s, str(registry.steps[s].path)) for s in route.steps] for n, route in routes.items()}
    wanted = ["torch", "onnx", "onnxruntime"]
    wanted += [
        name for route in routes.values() for step in route.steps for name in registry.steps[step].declared.imports
    ]
    wanted += [name for route in routes.values() for name in registry.runtimes[route.runtime].declared.imports]
    wanted += [name for strategy in strategies for name in _WARM.get(strategy, ())]
    for name in dict.fromkeys(wanted):
        importlib.import_module(name)
    _warm_export(strategies)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.glob("*.py")):
            name = path.stem.replace("_", "-")
            built = Path(scratch) / path.stem / "built"
            found[name] = {"native outputs": forked(built, functools.partial(native, path, built))}
            if found[name]["native outputs"]["outcome"] != "built":
                continue
            for strategy, route in routes.items():
                own = Path(scratch) / path.stem / strategy
                runtime = registry.runtimes[route.runtime].path
                found[name][strategy] = cell(path, built, own, steps[strategy], runtime)
    report.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
