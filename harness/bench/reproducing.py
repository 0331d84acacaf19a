"""The child that tells how a model takes its inputs, so that a script can do the same without the harness.

It reads a `ReproduceRequest`. Its result has `weights` (whether the file gives trained ones), `keep_weights`,
`train_mode`, `gains` and, as far as it came, `binding`, `constants` (as code), `inputs` (of the example, each with
`name`, `access`, `dtype` and `shape`), `dynamic` (by the same names), `literals` (by input set, the arrays as code, or
nothing where they are too large), `output_count`, `paths` (of the outputs) and `numbers`. What raised on the way is in
`raised`.
"""

from __future__ import annotations

import ast
import base64
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.bench import probes, tensors
from harness.bench.binding import bind, parameters_of
from harness.bench.child import begin, work_on
from harness.bench.definitions import Inputs, Model
from harness.bench.progress import Progress, described
from harness.bench.registry import load
from harness.bench.requests import ReproduceRequest
from harness.bench.stages import Stage
from harness.bench.structure import children, is_number, output_leaves

_WRITTEN_OUT = 64
"""Elements up to which an array is written as numbers."""

_PACKED_BYTES = 2**16
"""Bytes up to which it is written packed."""


def main(folder: Path) -> None:
    """Work on the request in `folder` and end the process."""
    work_on(folder, ReproduceRequest, tell)


def tell(request: ReproduceRequest, progress: Progress) -> None:
    """Build the model, bind its example, and tell how that is written."""
    told: dict[str, Any] = {}
    try:
        progress.enter(Stage.IMPORT)
        begin(request)
        progress.enter(Stage.BUILD)
        _tell(told, load(Path(request.model_file), "MODEL", Model).declared, request.input_sets)
    except Exception as error:  # noqa: BLE001 - what raises here may be what is to be shown
        told["raised"] = described(error)
    progress.finish(**told)


def _tell(told: dict[str, Any], model: Model, input_sets: tuple[str, ...]) -> None:
    import torch

    told.update(
        weights=model.weights is not None,
        keep_weights=model.keep_weights,
        train_mode=model.train_mode,
        gains=dict(model.gains),
        constants={name: repr(value) for name, value in model.constants.items()},
    )
    given = tensors.as_mapping(model.example(), "example()")
    example = tensors.as_inputs(given, "example()")
    told["literals"] = {}
    module = tensors.unfilled(model)
    binding = bind(parameters_of(module), given, model.constants)
    example = tensors.in_order(example, binding.paths)
    accesses = _accesses(given)
    told["binding"] = binding.to_json()
    told["inputs"] = [
        {
            "name": name,
            "access": accesses[path],
            "dtype": str(example[path].dtype),
            "shape": list(example[path].shape),
        }
        for name, path in zip(binding.graph_names, binding.paths, strict=True)
    ]
    told["dynamic"] = {
        name: dict(model.dynamic[path])
        for name, path in zip(binding.graph_names, binding.paths, strict=True)
        if path in model.dynamic
    }
    derived = {} if model.probes else probes.derived(example)
    for name in input_sets:
        arrays = example if not name else derived.get(name)
        if arrays is None:
            arrays = tensors.as_inputs(model.probes[name](), f"probe {name!r}", binding.paths)
        arrays = tensors.in_order(arrays, binding.paths)
        told["literals"][name] = [_literal(arrays[path]) for path in binding.paths]
    with tensors.in_eval_mode(module), torch.no_grad():
        leaves = output_leaves(binding.caller(module, model.constants)(*tensors.to_tensors(example)))
    numbers = [index for index, (_, leaf) in enumerate(leaves) if is_number(leaf)]
    told.update(output_count=len(leaves) - len(numbers), paths=[path for path, _ in leaves], numbers=numbers)


def _accesses(given: Inputs) -> dict[str, str]:
    """How each leaf of the example is reached in it, by path: `['batch']['ids']`."""
    found: dict[str, str] = {}

    def walk(value: Any, path: str, access: str) -> None:
        held = children(value, path)
        if held is None:
            found[path] = access
            return
        if isinstance(value, Mapping):
            keys = [f"[{key!r}]" for key in value]
        elif isinstance(value, (list, tuple)):
            keys = [f"[{index}]" for index in range(len(held))]
        else:
            keys = [inner[len(path) :] for inner, _ in held]
        for key, (inner, item) in zip(keys, held, strict=True):
            walk(item, inner, access + key)

    for name, value in given.items():
        walk(value, name, f"[{name!r}]")
    return found


def _literal(array: Any) -> str:
    """A numpy array as code, of numbers where they are few, else packed; nothing where it is too large for that."""
    import numpy as np

    kind = "bool_" if array.dtype.kind == "b" else str(array.dtype)
    if array.size <= _WRITTEN_OUT and array.dtype.kind in "biuf" and np.isfinite(array).all():
        shortest = ast.literal_eval(np.array2string(array, separator=", ", floatmode="unique"))
        listed = shortest if np.array_equal(np.array(shortest, dtype=array.dtype), array) else array.tolist()
        return f"np.array({listed!r}, dtype=np.{kind})"
    if array.nbytes > _PACKED_BYTES:
        return ""
    text = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode("ascii")
    return f'np.frombuffer(zlib.decompress(base64.b64decode("{text}")), np.{kind}).reshape({list(array.shape)}).copy()'
