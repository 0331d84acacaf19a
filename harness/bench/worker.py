"""What runs in a forked or fresh child: building a model once, or converting it by one strategy's steps.

The request is a JSON file: ``{"job": "build" | "convert", "plan": …, "model": …, "strategy": …, "folder": …}``. The
result and the stages go to files beside it; see `harness.bench.progress`.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.bench import match, tensors
from harness.bench.definitions import Artifact, Model, Step, StepContext
from harness.bench.plan import Plan, split
from harness.bench.progress import ProbeRejectedError, Progress
from harness.bench.record import write_json
from harness.bench.registry import Registry, get
from harness.bench.stages import Stage

EXAMPLE = "example"


def import_all(names: Iterable[str]) -> None:
    """Import what a job needs; already there in a warm process."""
    for name in names:
        importlib.import_module(name)


def limit_threads(threads: int) -> None:
    """Let torch use as many threads as every other runtime."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def _run(module: Any, inputs: Mapping[str, Any]) -> list[Any]:
    import torch

    with torch.no_grad():
        return tensors.to_arrays(module(*tensors.to_tensors(inputs)))


def _noise(model: Model, sets: Sequence[Mapping[str, Any]], native: Sequence[list[Any]]) -> tuple[float, float]:
    """The native output's own noise on the example: largest MSE and relative error against a second run and float64.

    Where a model cannot run in float64 the second run alone counts.
    """
    import numpy as np

    module, _ = tensors.build(model)
    inputs = sets[0]
    figures = [match.worst([match.errors_of(a, b) for a, b in zip(_run(module, inputs), native[0], strict=True)])]
    try:
        module, _ = tensors.build(model)
        doubled = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in inputs.items()}
        exact = _run(module.double(), doubled)
        figures.append(match.worst([match.errors_of(a, b) for a, b in zip(native[0], exact, strict=True)]))
    except Exception as error:  # noqa: BLE001 - any refusal of float64 only means that there is no such figure
        print(f"no float64 reference: {type(error).__name__}: {error}")  # noqa: T201
    known = [f for f in figures if f is not None]
    return max(f.mse for f in known), max(f.relative_error for f in known)


def build(request: Mapping[str, Any], registry: Registry, progress: Progress) -> None:
    """Build the model, run it on its example and its probes, and keep inputs, native outputs and noise."""
    progress.enter(Stage.IMPORT)
    entry = get(registry.models, "model", request["model"])
    import_all(request["imports"])
    limit_threads(request["threads"])
    progress.enter(Stage.BUILD)
    model = entry.declared
    folder = Path(request["folder"])
    module, weights_digest = tensors.build(model)
    example = tensors.as_inputs(model.example(), "example()")
    sets, names = [example], [EXAMPLE]
    native = [_run(module, example)]
    if not native[0]:
        msg = "forward returned no tensor"
        raise ValueError(msg)
    for name, probe in model.probes.items():
        inputs = tensors.as_inputs(probe(), f"probe {name!r}")
        tensors.check_probe(model, name, example, inputs)
        try:
            native.append(_run(module, inputs))
        except Exception as error:
            msg = f"probe {name!r} is rejected by forward: {type(error).__name__}: {error}"
            raise ProbeRejectedError(msg) from error
        sets.append(inputs)
        names.append(name)
    for index, (inputs, outputs) in enumerate(zip(sets, native, strict=True)):
        tensors.save(folder / f"inputs-{index}.npz", list(inputs.values()))
        tensors.save(folder / f"native-{index}.npz", outputs)
    noise_mse, noise_relative = _noise(model, sets, native)
    write_json(
        folder / "built.json",
        {
            "names": names,
            "inputs": list(example),
            "same_shape": [tensors.same_shape(example, inputs) for inputs in sets],
            "outputs": len(native[0]),
            "weights_digest": weights_digest,
            "noise_mse": noise_mse,
            "noise_relative": noise_relative,
            "tolerance": model.tolerance,
        },
    )
    progress.finish()


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _route(request: Mapping[str, Any], registry: Registry) -> list[Step]:
    strategy = get(registry.strategies, "strategy", split(request["strategy"])[0]).declared
    return [get(registry.steps, "step", name).declared for name in strategy.steps]


def convert(request: Mapping[str, Any], registry: Registry, progress: Progress) -> None:
    """Run a strategy's steps one after the other, each in the order of the route."""
    progress.enter(Stage.IMPORT)
    entry = get(registry.models, "model", request["model"])
    steps = _route(request, registry)
    import_all(request["imports"])
    limit_threads(request["threads"])
    progress.enter(Stage.BUILD)
    model = entry.declared
    module, _ = tensors.build(model)
    built = json.loads((Path(request["built"]) / "built.json").read_text(encoding="utf-8"))
    inputs = dict(zip(built["inputs"], tensors.load(Path(request["built"]) / "inputs-0.npz"), strict=True))
    name, value = split(request["strategy"])
    parameter = registry.strategies[name].declared.parameter
    folder = Path(request["folder"])
    context = StepContext(
        model_name=entry.name,
        model=model,
        module=module,
        inputs=inputs,
        output_count=built["outputs"],
        parameters={} if parameter is None or value is None else {parameter: value},
        folder=folder,
    )
    artifact: Artifact | None = None
    facts: dict[str, int] = {}
    started = time.monotonic()
    for index, step in enumerate(steps):
        progress.enter(Stage(step.stage))
        own = folder / f"artifact-{index}"
        own.mkdir()
        artifact = step.run(dataclasses.replace(context, folder=own), artifact)
        if artifact.kind != step.produces or not artifact.path.exists():
            msg = f"the step said that it leaves {step.produces} and left {artifact.kind} at {artifact.path.name}"
            raise RuntimeError(msg)
        facts.update(artifact.facts)
    assert artifact is not None
    progress.finish(
        kind=artifact.kind,
        path=str(artifact.path),
        facts=facts,
        artifact_bytes=_size(artifact.path if artifact.path.is_dir() else artifact.path.parent),
        convert_s=time.monotonic() - started,
    )


def main(arguments: Sequence[str]) -> None:
    """Work on one request and end the process without running anyone's exit handlers."""
    request = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    progress = Progress(Path(request["folder"]))
    try:
        registry = Plan.from_json(request["plan"]).registry()
        {"build": build, "convert": convert}[request["job"]](request, registry, progress)
    except BaseException as error:  # noqa: BLE001 - whatever a tool raises is this cell's result
        progress.fail(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
