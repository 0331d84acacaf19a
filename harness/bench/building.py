"""The child that builds: a model's module, weights and inputs, and what it answers to them natively.

It reads a `BuildRequest` and leaves in its folder, of input set i (0 is the example, then the probes),

- ``inputs-<i>.npz`` and ``native-<i>.npz``; with labelled data ``labelled.npz`` and ``labels.npz``. All are read-only;
- ``built.json``: `names`, `same_shape` and `native` (what `harness.bench.sketch` keeps of each output) by input set;
  `inputs` (what artifacts call them), `binding` (`harness.bench.binding`), `paths` (of the outputs, by input set),
  `numbers` (which outputs are Python's own numbers, by input set), `weights_digest`, `parameters`, `noise_mse`,
  `noise_relative`, `tolerance`, `train_mode`; `derived` (probes made from the example) and `dropped_probes` (what
  `forward` said to one, by name); `digests` (SHA-256 of each file above); `modules` and `code` (the user's code that
  ran, by file and by module's name: the first 16 digits of its SHA-256); with labelled data `labelled_rows`, `batch`
  and `accuracy`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bench import match, probes, tensors
from harness.bench.binding import Binding, bind, parameters_of
from harness.bench.child import begin, work_on
from harness.bench.definitions import Model
from harness.bench.explaining import advise
from harness.bench.imported import imported_code, imported_modules
from harness.bench.places import ZOO
from harness.bench.progress import ProbeRejectedError, Progress, is_out_of_memory
from harness.bench.record import write_json
from harness.bench.registry import load
from harness.bench.requests import BUILT_FILE, BuildRequest
from harness.bench.sketch import sampled
from harness.bench.stages import Stage
from harness.bench.structure import is_number, output_leaves

EXAMPLE = "example"


def main(folder: Path) -> None:
    """Work on the request in `folder` and end the process."""
    work_on(folder, BuildRequest, build, watched=True)


@dataclass
class _Sets:
    """The input sets so far, the example first, and the native outputs of each."""

    names: list[str] = field(default_factory=list)
    inputs: list[Mapping[str, Any]] = field(default_factory=list)
    native: list[_Answer] = field(default_factory=list)

    def add(self, name: str, inputs: Mapping[str, Any], native: _Answer) -> None:
        self.names.append(name)
        self.inputs.append(inputs)
        self.native.append(native)


@dataclass(frozen=True)
class _Answer:
    """What `forward` returned: its leaves as arrays, their paths, and which of them are Python's own numbers."""

    arrays: list[Any]
    paths: list[str]
    numbers: list[int]


def build(request: BuildRequest, progress: Progress) -> None:
    """Build the model, run it on its example and its probes, and keep inputs, native outputs and noise.

    Raises what the model's file raises, `InputsError` where its inputs contradict each other, `BindingError` where they
    cannot be bound to `forward`, `ProbeRejectedError` where `forward` does not take a declared probe,
    `UnsupportedValueError` where it returns what is neither a number nor a container of them, and `ValueError` where it
    returns no tensor or one without any number.
    """
    progress.enter(Stage.IMPORT)
    begin(request)
    progress.enter(Stage.BUILD)
    model = load(Path(request.model_file), "MODEL", Model).declared
    folder = Path(request.folder)
    module, weights_digest = tensors.build(model)
    given = tensors.as_mapping(model.example(), "example()")
    # What contradicts itself whatever the version comes before what a version has a part in.
    example = tensors.as_inputs(given, "example()")
    tensors.check_dynamic(model, example)
    declared = _declared(model, example)
    bound = bind(parameters_of(module), given, model.constants)
    example = tensors.in_order(example, bound.paths)
    native = _Native(model, bound, module, own=ZOO not in Path(request.model_file).parents)
    sets = _Sets()
    try:
        returned = native.called(example)
    except Exception as error:
        native.advise(error, "forward raises this on the file's own example: mend example() or forward.")
        raise
    answer = native.read(returned)
    sets.add(EXAMPLE, example, answer)
    if len(answer.numbers) == len(answer.paths):
        msg = "forward returned no tensor"
        raise ValueError(msg)
    _check_numbers("the example", answer)
    dropped: dict[str, str] = {}
    if model.probes:
        _add_declared(sets, declared, native)
    else:
        dropped = _add_derived(sets, native)
    accuracy = _labelled(model, native, list(example), folder) if model.labelled is not None else {}
    for index, (inputs, outputs) in enumerate(zip(sets.inputs, sets.native, strict=True)):
        tensors.save(folder / f"inputs-{index}.npz", list(inputs.values()))
        tensors.save(folder / f"native-{index}.npz", outputs.arrays, outputs.paths)
    noise_mse, noise_relative = _noise(native, example, answer)
    write_json(
        folder / BUILT_FILE,
        {
            "names": sets.names,
            "derived": [] if model.probes else sets.names[1:],
            "dropped_probes": dropped,
            "inputs": list(bound.graph_names),
            "binding": bound.to_json(),
            "same_shape": [tensors.same_shape(example, inputs) for inputs in sets.inputs],
            "paths": [each.paths for each in sets.native],
            "numbers": [each.numbers for each in sets.native],
            "weights_digest": weights_digest,
            "parameters": sum(math.prod(parameter.shape) for _, parameter in module.named_parameters()),
            "noise_mse": noise_mse,
            "noise_relative": noise_relative,
            "tolerance": model.tolerance,
            "train_mode": model.train_mode,
            "dynamic": {name: {str(axis): word for axis, word in axes.items()} for name, axes in model.dynamic.items()},
            "native": {
                name: [sampled(each) for each in outputs.arrays]
                for name, outputs in zip(sets.names, sets.native, strict=True)
            },
            "digests": {path.name: tensors.seal(path) for path in sorted(folder.glob("*.npz"))},
            "modules": imported_code(),
            "code": imported_modules(),
            **accuracy,
        },
    )
    progress.finish()


class _Native:
    """A model's module, and how its inputs are bound to it; `own` says that it is a model of a user's own."""

    def __init__(self, model: Model, binding: Binding, module: Any, *, own: bool) -> None:
        self.model = model
        self.binding = binding
        self.module = module
        self.own = own

    def __call__(self, inputs: Mapping[str, Any]) -> _Answer:
        """What the model is meant to answer: see `called` and `read`."""
        return self.read(self.called(inputs))

    def called(self, inputs: Mapping[str, Any]) -> Any:
        """What the module returns: always in eval mode, also where it is deployed in train mode by mistake."""
        import torch

        call = self.binding.caller(self.module, self.model.constants)
        placed = tensors.to_tensors(inputs)
        with tensors.in_eval_mode(self.module), torch.no_grad():
            return call(*placed)

    @staticmethod
    def read(returned: Any) -> _Answer:
        """The same in memory of its own: a module may return a buffer that its next call writes to."""
        leaves = output_leaves(returned)
        arrays = [tensors.as_array(leaf, path).copy() for path, leaf in leaves]
        numbers = [index for index, (_, leaf) in enumerate(leaves) if is_number(leaf)]
        return _Answer(arrays, [path for path, _ in leaves], numbers)

    def again(self) -> _Native:
        """The same of a module that was built anew."""
        return _Native(self.model, self.binding, tensors.build(self.model)[0], own=self.own)

    def advise(self, error: Exception, advice: str) -> None:
        """Say what to do about what `forward` raised; not of the zoo's models, whose files are known to be right."""
        if self.own:
            advise(error, advice)


def _check_numbers(what: str, answer: _Answer) -> None:
    """Raise `ValueError` where an output has no finite value, and NaN among what it has: any answer would match it.

    Infinity throughout is left alone: sign and position of each are matched exactly.
    """
    import numpy as np

    for path, output in zip(answer.paths, answer.arrays, strict=True):
        if output.size and output.dtype.kind in "fc" and np.isnan(output).any() and not np.isfinite(output).any():
            throughout = "NaN" if np.isnan(output).all() else "NaN or infinite"
            msg = (
                f"{path} on {what} is {throughout} throughout, so that no conversion could be told right from "
                f"wrong. Look for NaN in the weights and the inputs, and for 0/0, the root of a negative number or an "
                f"overflow in forward"
            )
            raise ValueError(msg)


def _declared(model: Model, example: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The probes of the model's file, by name. Raises `InputsError` where one does not fit the example."""
    found = {}
    for name, probe in model.probes.items():
        found[name] = tensors.as_inputs(probe(), f"probe {name!r}", list(example))
        tensors.check_probe(model, name, example, found[name])
    return found


def _add_declared(sets: _Sets, declared: Mapping[str, Mapping[str, Any]], native: _Native) -> None:
    """The probes of the model's file: `forward` has to take each, since whoever wrote it meant it to."""
    for name, probe in declared.items():
        inputs = tensors.in_order(probe, native.binding.paths)
        try:
            returned = native.called(inputs)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            msg = f"probe {name!r} is rejected by forward: {type(error).__name__}: {error}"
            rejected = ProbeRejectedError(msg)
            native.advise(rejected, "Mend the probe or forward.")
            raise rejected from error
        outputs = native.read(returned)
        _check_numbers(f"the probe {name!r}", outputs)
        sets.add(name, inputs, outputs)


def _add_derived(sets: _Sets, native: _Native) -> dict[str, str]:
    """Probes made from the example, for a file without any. One that `forward` rejects is dropped: why, by name."""
    found = probes.derived(sets.inputs[0])
    refusals = {name: _tried(sets, native, name, inputs) for name, inputs in found.items()}
    missing = (f"permuted-{number}" for number in range(len(found) + 1, probes.WANTED + 1))
    return {
        **{name: refusal for name, refusal in refusals.items() if refusal},
        **dict.fromkeys(missing, probes.NO_OTHER_ORDER),
    }


def _tried(sets: _Sets, native: _Native, name: str, inputs: Mapping[str, Any]) -> str:
    """Add a derived probe; what is returned is why that is not to be, empty where it is.

    One that the model answers by NaN stays: where another PyTorch turns an answer into NaN, that is to be seen, and
    not one input set less.
    """
    try:
        outputs = native(inputs)
    except Exception as error:  # noqa: BLE001 - nobody said that the model takes it
        return f"{type(error).__name__}: {error}"[:500]
    sets.add(name, inputs, outputs)
    return ""


def _noise(native: _Native, inputs: Mapping[str, Any], answer: _Answer) -> tuple[float, float]:
    """The native output's own noise on the example: largest MSE and relative error against a second run and float64.

    Where a model cannot run in float64 the second run alone counts.
    """
    import numpy as np

    def against(one: _Answer, other: _Answer) -> match.Errors | None:
        pairs = zip(one.arrays, other.arrays, strict=True)
        return match.worst([match.errors_of(match.as_real(a), match.as_real(b)) for a, b in pairs])

    figures = [against(native.again()(inputs), answer)]
    try:
        doubled = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in inputs.items()}
        again = native.again()
        again.module = again.module.double()
        figures.append(against(answer, again(doubled)))
    except Exception as error:  # noqa: BLE001 - any refusal of float64 only means that there is no such figure
        print(f"no float64 reference: {type(error).__name__}: {error}")  # noqa: T201
    known = [figure for figure in figures if figure is not None]
    return max(figure.mse for figure in known), max(figure.relative_error for figure in known)


def _labelled(model: Model, native: _Native, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Keep the labelled data, and say how many of its rows the native model gets right."""
    import numpy as np

    assert model.labelled is not None
    given, labels = model.labelled()
    inputs = tensors.as_inputs(given, "labelled()", names)
    rows = next(iter(tensors.as_inputs(model.example(), "example()", names).values())).shape[0]
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
        right += int((native(batch).arrays[0].argmax(-1) == labels[start : start + rows]).sum())
    return {"labelled_rows": len(labels), "batch": rows, "accuracy": right / len(labels)}
