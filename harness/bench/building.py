"""The child that builds: a model's module, weights and inputs, and what it answers to them natively.

It reads a `BuildRequest` and leaves in its folder, of input set i (0 is the example, then the probes),

- ``inputs-<i>.npz`` and ``native-<i>.npz``; with labelled data ``labelled.npz`` and ``labels.npz``. All are read-only;
- ``built.json``: `names`, `same_shape` and `native` (what `harness.bench.sketch` keeps of each output) by input set;
  `inputs` (names), `outputs` (how many), `weights_digest`, `parameters`, `noise_mse`, `noise_relative`, `tolerance`,
  `train_mode`; `derived` (probes made from the example) and `dropped_probes` (what `forward` said to one, by name);
  `digests` (SHA-256 of each file above); `modules` and `code` (the user's code that ran, by file and by module's name:
  the first 16 digits of its SHA-256); with labelled data `labelled_rows`, `batch` and `accuracy`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bench import match, probes, tensors
from harness.bench.child import begin, work_on
from harness.bench.definitions import Model
from harness.bench.imported import imported_code, imported_modules
from harness.bench.progress import ProbeRejectedError, Progress
from harness.bench.record import write_json
from harness.bench.registry import load
from harness.bench.requests import BuildRequest
from harness.bench.sketch import sampled
from harness.bench.stages import Stage

EXAMPLE = "example"
BUILT_FILE = "built.json"


def main(folder: Path) -> None:
    """Work on the request in `folder` and end the process."""
    work_on(folder, BuildRequest, build)


@dataclass
class _Sets:
    """The input sets so far, the example first, and the native outputs of each."""

    names: list[str] = field(default_factory=list)
    inputs: list[Mapping[str, Any]] = field(default_factory=list)
    native: list[list[Any]] = field(default_factory=list)

    def add(self, name: str, inputs: Mapping[str, Any], native: list[Any]) -> None:
        self.names.append(name)
        self.inputs.append(inputs)
        self.native.append(native)


def build(request: BuildRequest, progress: Progress) -> None:
    """Build the model, run it on its example and its probes, and keep inputs, native outputs and noise.

    Raises what the model's file raises, `ProbeRejectedError` where a declared probe does not fit, and `ValueError`
    where `forward` returns no tensor or one that holds no number at all.
    """
    progress.enter(Stage.IMPORT)
    begin(request)
    progress.enter(Stage.BUILD)
    model = load(Path(request.model_file), "MODEL", Model).declared
    folder = Path(request.folder)
    module, weights_digest = tensors.build(model)
    example = tensors.as_inputs(model.example(), "example()")
    sets = _Sets()
    sets.add(EXAMPLE, example, _run(module, example))
    if not sets.native[0]:
        msg = "forward returned no tensor"
        raise ValueError(msg)
    _check_numbers("the example", sets.native[0])
    dropped: dict[str, str] = {}
    if model.probes:
        _add_declared(sets, model, module)
    else:
        dropped = _add_derived(sets, module)
    accuracy = _labelled(model, module, list(example), folder) if model.labelled is not None else {}
    for index, (inputs, outputs) in enumerate(zip(sets.inputs, sets.native, strict=True)):
        tensors.save(folder / f"inputs-{index}.npz", list(inputs.values()))
        tensors.save(folder / f"native-{index}.npz", outputs)
    noise_mse, noise_relative = _noise(model, example, sets.native[0])
    write_json(
        folder / BUILT_FILE,
        {
            "names": sets.names,
            "derived": [] if model.probes else sets.names[1:],
            "dropped_probes": dropped,
            "inputs": list(example),
            "same_shape": [tensors.same_shape(example, inputs) for inputs in sets.inputs],
            "outputs": len(sets.native[0]),
            "weights_digest": weights_digest,
            "parameters": sum(math.prod(parameter.shape) for _, parameter in module.named_parameters()),
            "noise_mse": noise_mse,
            "noise_relative": noise_relative,
            "tolerance": model.tolerance,
            "train_mode": model.train_mode,
            "dynamic": {name: {str(axis): word for axis, word in axes.items()} for name, axes in model.dynamic.items()},
            "native": {
                name: [sampled(each) for each in outputs] for name, outputs in zip(sets.names, sets.native, strict=True)
            },
            "digests": {path.name: tensors.seal(path) for path in sorted(folder.glob("*.npz"))},
            "modules": imported_code(),
            "code": imported_modules(),
            **accuracy,
        },
    )
    progress.finish()


def _run(module: Any, inputs: Mapping[str, Any]) -> list[Any]:
    """What the model is meant to answer: always in eval mode, also where it is deployed in train mode by mistake.

    In memory of its own: a module may return a buffer that its next call writes to.
    """
    import torch

    with tensors.in_eval_mode(module), torch.no_grad():
        return [array.copy() for array in tensors.to_arrays(module(*tensors.to_tensors(inputs)))]


def _check_numbers(what: str, outputs: Sequence[Any]) -> None:
    """Raise `ValueError` where an output has no finite value, and NaN among what it has: any answer would match it.

    Infinity throughout is left alone: sign and position of each are matched exactly.
    """
    import numpy as np

    for index, output in enumerate(outputs):
        if output.size and output.dtype.kind in "fc" and np.isnan(output).any() and not np.isfinite(output).any():
            throughout = "NaN" if np.isnan(output).all() else "NaN or infinite"
            msg = (
                f"output {index} on {what} is {throughout} throughout, so that no conversion could be told right from "
                f"wrong. Look for NaN in the weights and the inputs, and for 0/0, the root of a negative number or an "
                f"overflow in forward"
            )
            raise ValueError(msg)


def _add_declared(sets: _Sets, model: Model, module: Any) -> None:
    """The probes of the model's file: each has to fit, since whoever wrote it meant it to."""
    for name, probe in model.probes.items():
        inputs = tensors.as_inputs(probe(), f"probe {name!r}")
        tensors.check_probe(model, name, sets.inputs[0], inputs)
        try:
            outputs = _run(module, inputs)
        except Exception as error:
            msg = f"probe {name!r} is rejected by forward: {type(error).__name__}: {error}"
            raise ProbeRejectedError(msg) from error
        _check_numbers(f"the probe {name!r}", outputs)
        sets.add(name, inputs, outputs)


def _add_derived(sets: _Sets, module: Any) -> dict[str, str]:
    """Probes made from the example, for a file without any. One that `forward` rejects is dropped: why, by name."""
    found = probes.derived(sets.inputs[0])
    refusals = {name: _tried(sets, module, name, inputs) for name, inputs in found.items()}
    missing = (f"permuted-{number}" for number in range(len(found) + 1, probes.WANTED + 1))
    return {
        **{name: refusal for name, refusal in refusals.items() if refusal},
        **dict.fromkeys(missing, probes.NO_OTHER_ORDER),
    }


def _tried(sets: _Sets, module: Any, name: str, inputs: Mapping[str, Any]) -> str:
    """Add a derived probe; what is returned is why that is not to be, empty where it is.

    One that the model answers by NaN stays: where another PyTorch turns an answer into NaN, that is to be seen, and
    not one input set less.
    """
    try:
        outputs = _run(module, inputs)
    except Exception as error:  # noqa: BLE001 - nobody said that the model takes it
        return f"{type(error).__name__}: {error}"[:500]
    sets.add(name, inputs, outputs)
    return ""


def _noise(model: Model, inputs: Mapping[str, Any], native: Sequence[Any]) -> tuple[float, float]:
    """The native output's own noise on the example: largest MSE and relative error against a second run and float64.

    Where a model cannot run in float64 the second run alone counts.
    """
    import numpy as np

    def against(one: Sequence[Any], other: Sequence[Any]) -> match.Errors | None:
        return match.worst([match.errors_of(a, b) for a, b in zip(one, other, strict=True)])

    module, _ = tensors.build(model)
    figures = [against(_run(module, inputs), native)]
    try:
        module, _ = tensors.build(model)
        doubled = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in inputs.items()}
        figures.append(against(native, _run(module.double(), doubled)))
    except Exception as error:  # noqa: BLE001 - any refusal of float64 only means that there is no such figure
        print(f"no float64 reference: {type(error).__name__}: {error}")  # noqa: T201
    known = [figure for figure in figures if figure is not None]
    return max(figure.mse for figure in known), max(figure.relative_error for figure in known)


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
