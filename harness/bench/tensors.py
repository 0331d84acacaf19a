"""Arrays and tensors: what goes into a module, what comes out of it, and how both are kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.bench.definitions import Inputs, Model
from harness.bench.progress import ProbeRejectedError
from harness.bench.weights import digest_of, fill, filled_state

NUMBERS = "biufc"
"""Kinds of numpy types that outputs are compared in: booleans, integers, floating-point and complex numbers."""


def save(path: Path, arrays: Sequence[Any]) -> None:
    """Write numpy arrays, in order; the file is whole or not there. Raises `TypeError` where one holds no numbers."""
    import numpy as np

    for index, array in enumerate(arrays):
        if np.asarray(array).dtype.kind not in NUMBERS:
            msg = f"output {index} is no array of numbers, but {type(array).__name__}"
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
    """A model's output as a flat list of tensors: containers in their own order, None left out."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in flatten(item)]
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in flatten(item)]
    return [value]


def to_arrays(value: Any) -> list[Any]:
    """What a PyTorch module returned, as numpy arrays."""
    import numpy as np

    return [leaf.detach().cpu().numpy() if hasattr(leaf, "detach") else np.asarray(leaf) for leaf in flatten(value)]


def to_tensors(inputs: Inputs) -> tuple[Any, ...]:
    """Numpy arrays as torch tensors of their own memory."""
    import torch

    return tuple(torch.from_numpy(value.copy()) for value in inputs.values())


def build(model: Model) -> tuple[Any, str]:
    """The module in its mode, with trained weights or filled ones, and the digest of their bits."""
    module = unfilled(model)
    if model.keep_weights:
        return module, digest_of(to_arrays(module.state_dict()))
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


def as_inputs(value: Any, what: str) -> dict[str, Any]:
    """Check what an `example` or a probe returned, and give it as numpy arrays."""
    import numpy as np

    if not isinstance(value, Mapping) or not value:
        msg = f"{what} must return a dict of input name to array, in the order of forward; it returned {value!r:.80}"
        raise ProbeRejectedError(msg)
    return {
        str(name): item.detach().cpu().numpy() if hasattr(item, "detach") else np.asarray(item)
        for name, item in value.items()
    }


def same_shape(example: Inputs, probe: Inputs) -> bool:
    """Whether every input of the probe has the example's shape."""
    return all(probe[name].shape == value.shape for name, value in example.items())


def check_probe(model: Model, name: str, example: Inputs, probe: Inputs) -> None:
    """Raise where a probe differs from the example in more than values and dynamic dimensions."""
    if list(probe) != list(example):
        msg = f"probe {name!r} gives the inputs {', '.join(probe)}; the example gives {', '.join(example)}"
        raise ProbeRejectedError(msg)
    for key, expected in example.items():
        given = probe[key]
        if given.dtype != expected.dtype:
            msg = f"probe {name!r}: input {key!r} is {given.dtype}, and the example's is {expected.dtype}"
            raise ProbeRejectedError(msg)
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
            raise ProbeRejectedError(msg)
