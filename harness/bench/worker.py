"""What runs in a forked or fresh child: building a model once, or converting it by one strategy's steps.

The request is a JSON file: ``{"job": "build" | "convert", "plan": …, "model": …, "strategy": …, "folder": …}``. The
result and the stages go to files beside it; see `harness.bench.progress`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.bench import match, tensors
from harness.bench.bits import integers
from harness.bench.definitions import Artifact, Model, Step, StepContext
from harness.bench.plan import Plan, split
from harness.bench.progress import ProbeRejectedError, Progress
from harness.bench.record import write_json
from harness.bench.registry import Registry, get
from harness.bench.stages import Stage

EXAMPLE = "example"

SAMPLES = 16
"""Values kept of each native output."""

FACTS = frozenset({"opset", "ir_version"})
"""The columns of the record that an artifact tells."""


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
    """What the model is meant to answer: always in eval mode, also where it is deployed in train mode by mistake."""
    import torch

    with tensors.in_eval_mode(module), torch.no_grad():
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


def _sampled(output: Any) -> dict[str, Any]:
    """A digest of a native output and a few of its values at fixed positions, to be held against another version's."""
    import numpy as np

    flat = np.ascontiguousarray(output).reshape(-1)
    flat = flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat
    chosen = integers((min(SAMPLES, flat.size),), low=0, high=flat.size, seed="sample") if flat.size else []
    digest = hashlib.sha256(f"{output.dtype} {output.shape}".encode() + flat.tobytes()).hexdigest()[:16]
    sample = [float(flat[position]) for position in chosen]
    return {"digest": digest, "shape": list(output.shape), "dtype": str(output.dtype), "sample": sample}


def _labelled(model: Model, module: Any, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Keep the labelled data, and say how many of its rows the native model gets right."""
    import numpy as np

    assert model.labelled is not None
    given, labels = model.labelled()
    inputs = tensors.as_inputs(given, "labelled()")
    rows = next(iter(model.example().values())).shape[0]
    if list(inputs) != list(names) or any(len(value) != len(labels) for value in inputs.values()):
        msg = f"labelled() must give the inputs {', '.join(names)} with one row for each of its {len(labels)} labels"
        raise ValueError(msg)
    if len(labels) % rows:
        msg = f"labelled() gives {len(labels)} rows, which is no multiple of the example's batch of {rows}"
        raise ValueError(msg)
    tensors.save(folder / "labelled.npz", list(inputs.values()))
    tensors.save(folder / "labels.npz", [np.asarray(labels)])
    right = 0
    for start in range(0, len(labels), rows):
        batch = {name: value[start : start + rows] for name, value in inputs.items()}
        right += int((_run(module, batch)[0].argmax(-1) == labels[start : start + rows]).sum())
    return {"labelled_rows": len(labels), "batch": rows, "accuracy": right / len(labels)}


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
    accuracy = _labelled(model, module, list(example), folder) if model.labelled is not None else {}
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
            "parameters": sum(math.prod(parameter.shape) for _, parameter in module.named_parameters()),
            "noise_mse": noise_mse,
            "noise_relative": noise_relative,
            "tolerance": model.tolerance,
            "native": {name: [_sampled(o) for o in outputs] for name, outputs in zip(names, native, strict=True)},
            **accuracy,
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
        model_file=entry.path,
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
        strange = set(artifact.facts) - FACTS
        if strange:
            msg = f"the step told {', '.join(sorted(strange))}; an artifact's facts are {', '.join(sorted(FACTS))}"
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
    # What tools leave in the temporary folder goes with the cell: nobody runs their exit handlers.
    tempfile.tempdir = request["folder"]
    progress = Progress(Path(request["folder"]))
    try:
        registry = Plan.from_json(request["plan"]).registry()
        {"build": build, "convert": convert}[request["job"]](request, registry, progress)
    except BaseException as error:  # noqa: BLE001 - whatever a tool raises is this cell's result
        progress.fail(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
