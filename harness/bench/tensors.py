"""Arrays and tensors: what goes into a module, what comes out of it, and how both are kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.bench.binding import Binding
from harness.bench.definitions import Inputs, Model
from harness.bench.progress import InputsError
from harness.bench.structure import UnsupportedValueError, output_leaves, spec_of
from harness.bench.weights import digest_of, fill, filled_state

NUMBERS = "biufc"
"""Kinds of numpy types that outputs are compared in: booleans, integers, floating-point and complex numbers."""


def save(path: Path, arrays: Sequence[Any], names: Sequence[str] = ()) -> None:
    """Write numpy arrays, in order; the file is whole or not there.

    Raises `TypeError` where one holds no numbers, and names it as `names` do.
    """
    import numpy as np

    for index, array in enumerate(arrays):
        if np.asarray(array).dtype.kind not in NUMBERS:
            name = names[index] if names else f"output {index}"
            msg = f"{name} is no array of numbers, but {type(array).__name__}"
            raise TypeError(msg)
    partial = path.with_name(f".{path.name}.partial.npz")
    np.savez(partial, *arrays)
    partial.replace(path)


def seal(path: Path) -> str:
    """Make a file read-only, and return `file_digest` of it: what reads it later can tell whether it was edited."""
    path.chmod(0o444)
    return file_digest(path)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load(path: Path) -> list[Any]:
    """The arrays of `save`, in order."""
    import numpy as np

    with np.load(path) as archive:
        return [archive[f"arr_{index}"] for index in range(len(archive.files))]


def flatten(value: Any) -> list[Any]:
    """A model's output as a flat list of leaves: containers in their own order, None left out."""
    return [leaf for _, leaf in output_leaves(value)]


def to_arrays(value: Any) -> list[Any]:
    """What a PyTorch module returned, as numpy arrays; Python's own numbers are arrays without dimensions."""
    return [as_array(leaf, path) for path, leaf in output_leaves(value)]


def as_array(leaf: Any, path: str = "an output") -> Any:
    """One leaf as a numpy array. Raises `UnsupportedValueError`, with its path, where numpy has no such thing."""
    import numpy as np

    if not hasattr(leaf, "detach"):
        return np.asarray(leaf)
    tensor = leaf.detach().cpu()
    if getattr(tensor, "is_conj", bool)() or getattr(tensor, "is_neg", bool)():
        tensor = tensor.resolve_conj().resolve_neg()  # views that are conjugated, or negated, where they are read
    try:
        return tensor.numpy()
    except (TypeError, RuntimeError) as error:
        msg = (
            f"{path} is {tensor.dtype} ({tensor.layout}), which numpy does not have. Make it what numpy has, in a "
            f"wrapper where the module is not yours: `.float()`, `.dequantize()` of a quantized tensor, `.to_dense()` "
            f"of a sparse one"
        )
        raise UnsupportedValueError(msg) from error


def to_tensors(inputs: Inputs) -> tuple[Any, ...]:
    """Numpy arrays as torch tensors of their own memory."""
    import torch

    return tuple(torch.from_numpy(value.copy()) for value in inputs.values())


def build(model: Model) -> tuple[Any, str]:
    """The module in its mode, with trained weights or filled ones, and the digest of their bits."""
    module = unfilled(model)
    if model.keep_weights:
        return module, digest_of(
            [as_array(value, name) for name, value in module.state_dict().items() if hasattr(value, "detach")]
        )
    values = model.weights() if model.weights is not None else filled_state(module, model.gains)
    return module, fill(module, values)


def unfilled(model: Model) -> Any:
    """The module in its mode, with the weights that PyTorch happened to draw."""
    import torch

    torch.manual_seed(0)
    module = model.build()
    if not isinstance(module, torch.nn.Module):
        msg = f"build() returned {type(module).__name__}, and must return a torch.nn.Module"
        raise TypeError(msg)
    try:
        return module.train(model.train_mode)
    except NotImplementedError:  # a loaded torch.export program has the mode that it was exported in
        return module


@contextlib.contextmanager
def in_eval_mode(module: Any) -> Iterator[None]:
    """Put a module into eval mode, and back into the mode that it was in."""
    was_training = module.training
    with contextlib.suppress(NotImplementedError):  # a loaded torch.export program has the mode of its export
        module.eval()
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError):
            module.train(was_training)


class ModuleBuilder:
    """The `harness.bench.ModuleBuilder` of a model whose inputs are bound."""

    def __init__(self, model: Model, binding: Binding) -> None:
        self._model = model
        self._binding = binding

    def __call__(self) -> Any:
        """The module in its mode, with the weights that PyTorch happened to draw."""
        return unfilled(self._model)

    def caller(self, module: Any) -> Callable[..., Any]:
        """A function of the inputs, in order, that calls `module` as its native outputs were made."""
        return self._binding.caller(module, self._model.constants)


def as_mapping(value: Any, what: str) -> Mapping[str, Any]:
    """What an `example` or a probe returned, if it is one. Raises `InputsError`."""
    if not isinstance(value, Mapping) or not value:
        msg = f"{what} must return a dict of arrays by the names of arguments of forward; it returned {value!r:.80}"
        raise InputsError(msg)
    return {str(name): item for name, item in value.items()}


def as_inputs(value: Any, what: str, paths: Sequence[str] = ()) -> dict[str, Any]:
    """What an `example` or a probe returned, as numpy arrays by path; None is left out.

    In the order of `paths` where those are all that it has, and else in its own. Raises `InputsError` where it
    is no dict, or where an input is no array.
    """
    found: dict[str, Any] = {}

    def add(path: str, leaf: Any) -> int:
        found[path] = as_array(leaf, path)
        return len(found)

    try:
        for name, item in as_mapping(value, what).items():
            spec_of(item, name, add)
    except UnsupportedValueError as error:
        msg = f"{what}: {error}"
        raise InputsError(msg) from None
    return in_order(found, paths)


def in_order(inputs: Inputs, paths: Sequence[str]) -> dict[str, Any]:
    """The inputs in the order of `paths` where those are all that there are, and else in their own."""
    return {path: inputs[path] for path in paths} if set(paths) == set(inputs) else dict(inputs)


def check_dynamic(model: Model, example: Inputs) -> None:
    """Raise `InputsError` where `dynamic` names an input or a dimension that the example does not have."""
    for path, axes in model.dynamic.items():
        if path not in example:
            msg = f"`dynamic` names {path!r}, and the inputs are {', '.join(map(repr, example))}"
            raise InputsError(msg)
        shape = example[path].shape
        beyond = [axis for axis in axes if not 0 <= axis < len(shape)]
        if beyond:
            msg = f"`dynamic` names dimension {beyond[0]} of {path!r}, whose shape is {list(shape)}"
            raise InputsError(msg)


def same_shape(example: Inputs, probe: Inputs) -> bool:
    """Whether every input of the probe has the example's shape."""
    return all(probe[name].shape == value.shape for name, value in example.items())


def check_probe(model: Model, name: str, example: Inputs, probe: Inputs) -> None:
    """Raise where a probe differs from the example in more than values and dynamic dimensions."""
    if list(probe) != list(example):
        msg = f"probe {name!r} gives the inputs {', '.join(probe)}; the example gives {', '.join(example)}"
        raise InputsError(msg)
    for key, expected in example.items():
        given = probe[key]
        if given.dtype != expected.dtype:
            msg = f"probe {name!r}: input {key!r} is {given.dtype}, and the example's is {expected.dtype}"
            raise InputsError(msg)
        dynamic = model.dynamic.get(key, {})
        fits = given.ndim == expected.ndim and all(
            a == b or axis in dynamic for axis, (a, b) in enumerate(zip(given.shape, expected.shape, strict=True))
        )
        if not fits:
            free = ", ".join(map(str, sorted(dynamic))) or "none"
            msg = (
                f"probe {name!r}: input {key!r} has the shape {list(given.shape)}, the example's is "
                f"{list(expected.shape)}, and the dimensions declared dynamic are: {free}. Mend the probe, or declare "
                f"the dimension in `dynamic`."
            )
            raise InputsError(msg)
