"""Fills a module's weights with the same bits under every combination.

A tensor's stream is keyed by its shape and its position among the tensors of that shape, never by its name: names
change between versions, order hardly does. Names only choose the scale.
"""

from __future__ import annotations

import fnmatch
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from harness.bench.bits import uniform


def _gain(name: str, gains: Mapping[str, float]) -> float:
    for pattern, gain in gains.items():
        if fnmatch.fnmatchcase(name, pattern):
            return gain
    return 1.0


def _bounds(name: str, shape: tuple[int, ...], gains: Mapping[str, float]) -> tuple[float, float]:
    """The interval a tensor's values are drawn from, by its role."""
    role = name.rpartition(".")[2]
    if role == "running_mean":
        return -0.1, 0.1
    if role == "running_var":
        return 0.5, 1.5
    if len(shape) <= 1:
        return (0.9, 1.1) if role == "weight" else (-0.1, 0.1)
    fan_in = math.prod(shape[1:])
    # A uniform distribution on [-b, b] has variance b²/3: this keeps the variance of a layer's output near gain².
    bound = _gain(name, gains) * math.sqrt(3.0 / fan_in)
    return -bound, bound


def filled_state(module: Any, gains: Mapping[str, float]) -> dict[str, Any]:
    """New values for every parameter and running statistic of a `torch.nn.Module`, name to float32 numpy array."""
    parameters = {name for name, _ in module.named_parameters()}
    seen: Counter[tuple[int, ...]] = Counter()
    values = {}
    for name, tensor in module.state_dict().items():
        role = name.rpartition(".")[2]
        if not tensor.is_floating_point() or (name not in parameters and not role.startswith("running_")):
            continue
        shape = tuple(tensor.shape)
        low, high = _bounds(name, shape, gains)
        values[name] = uniform(shape, seed=f"weight {seen[shape]}", low=low, high=high)
        seen[shape] += 1
    return values


def fill(module: Any, values: Mapping[str, Any]) -> str:
    """Put `values` into `module` and return the digest of the bits that went in.

    Raises `KeyError` where the module has no tensor of a name, or has a parameter that gets no value.
    """
    import torch

    state = module.state_dict()
    lacking = [name for name, _ in module.named_parameters() if name in state and name not in values]
    unknown = [name for name in values if name not in state]
    if lacking or unknown:
        told = [f"no value for {', '.join(lacking)}"] if lacking else []
        told += [f"no tensor for {', '.join(unknown)}"] if unknown else []
        raise KeyError("; ".join(told))
    with torch.no_grad():
        for name, value in values.items():
            state[name].copy_(torch.from_numpy(value))
    return digest_of(values.values())


def digest_of(values: Iterable[Any]) -> str:
    """The SHA-256 of numpy arrays, with their shapes, in order: its first 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(repr(value.shape).encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:16]
