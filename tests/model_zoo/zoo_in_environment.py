"""What the zoo's models do, tested inside a pinned environment: the real tests start it there, once a combination.

    python -m pytest tests/model_zoo/zoo_in_environment.py

pytest collects it only where it is named like this. Where the variable HARNESS_ZOO_DIGESTS names a file, that file
gets, as JSON, what must be equal or close between combinations:

    {"lstm": {"weights": "d38a…", "outputs": {"example": [{"digest": "01f2…", "shape": [2, 10], "sample": [0.25, …]}]}}}

`sample` holds 16 values, at fixed positions drawn over the flattened output.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench import Inputs, Model, integers
from harness.bench.registry import discover
from harness.bench.weights import fill

SMALLEST_STD = 0.01
LARGEST_STD = 100.0
# Far above the 1e-4 of a mismatch: a conversion that ignores its input must not pass.
SMALLEST_DIFFERENCE = 1e-2
TWIN_TOLERANCE = 1e-4
SAMPLES = 16

Outputs = list[Any]
Digests = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Built:
    """A filled model in eval mode, and its native outputs for the example and each probe."""

    model: Model
    module: Any
    weights: str
    inputs: dict[str, Inputs]
    outputs: dict[str, Outputs]


def listed(result: Any, to_numpy: Any) -> Outputs:
    many = result if isinstance(result, (tuple, list)) else (result,)
    return [to_numpy(one) for one in many]


def native(module: Any, inputs: Inputs) -> Outputs:
    import torch

    with torch.no_grad():
        return listed(module(*(torch.from_numpy(value.copy()) for value in inputs.values())), lambda one: one.numpy())


def relative_error(a: Any, b: Any) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def described(output: Any) -> dict[str, Any]:
    flat = output.reshape(-1)
    chosen = integers((SAMPLES,), low=0, high=flat.size, seed="sample")
    digest = hashlib.sha256(np.ascontiguousarray(output).tobytes()).hexdigest()[:16]
    return {"digest": digest, "shape": list(output.shape), "sample": flat[chosen].tolist()}


@pytest.fixture(scope="session")
def digests() -> Iterator[Digests]:
    """Filled by `built`, written when everything has run."""
    found: Digests = {}
    yield found
    target = os.environ.get("HARNESS_ZOO_DIGESTS")
    if target:
        Path(target).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@pytest.fixture(scope="module", params=sorted(discover().models))
def built(request: pytest.FixtureRequest, digests: Digests) -> Built:
    name = request.param
    model = discover().models[name].declared
    module = model.build()
    weights = fill(module, model.gains)
    module.train(model.train_mode)
    inputs = {"example": model.example(), **{probe: make() for probe, make in model.probes.items()}}
    outputs = {key: native(module, value) for key, value in inputs.items()}
    digests[name] = {
        "weights": weights,
        "outputs": {key: [described(one) for one in value] for key, value in outputs.items()},
    }
    return Built(model, module, weights, inputs, outputs)


def test_weights_are_the_same_bits_when_built_again(built: Built) -> None:
    assert fill(built.model.build(), built.model.gains) == built.weights


def test_outputs_are_of_ordinary_size(built: Built) -> None:
    for key, outputs in built.outputs.items():
        for output in outputs:
            assert np.isfinite(output).all(), key
            assert SMALLEST_STD < output.std() < LARGEST_STD, key


def test_outputs_differ_between_inputs(built: Built) -> None:
    for (one, a), (other, b) in itertools.combinations(built.outputs.items(), 2):
        for left, right in zip(a, b, strict=True):
            if left.shape == right.shape:
                assert relative_error(left, right) > SMALLEST_DIFFERENCE, (one, other)


def test_twin_matches(built: Built) -> None:
    if built.model.twin is None:
        pytest.skip("this model has no twin")
    tensorflow = pytest.importorskip("tensorflow")
    twin = built.model.twin({name: value.detach().numpy() for name, value in built.module.state_dict().items()})
    for key, inputs in built.inputs.items():
        result = twin(*(tensorflow.constant(value) for value in inputs.values()))
        for output, reference in zip(listed(result, lambda one: one.numpy()), built.outputs[key], strict=True):
            assert output.shape == reference.shape, key
            assert output.dtype == reference.dtype, key
            assert relative_error(output, reference) <= TWIN_TOLERANCE, key
